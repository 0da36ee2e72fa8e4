//! The API server, as whoever runs this reaches it: by the service account of the pod, or by a kubeconfig.
//!
//! Its address comes from there and not from a runbook, so it is connected to whatever it is.

use http_body_util::{BodyExt, Limited};

use super::exchange::{Answer, Request};

/// Made anew for every attempt: tokens change, and attempts are rare.
pub(super) struct Cluster {
    client: kube::Client,
    /// The one that whoever runs this is in.
    pub(super) namespace: String,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error(
        "there is no cluster: neither a kubeconfig (KUBECONFIG, or ~/.kube/config) nor the service account of a pod ({0})"
    )]
    NoCluster(#[from] kube::config::InferConfigError),
    #[error("the cluster cannot be connected to as it is configured: {0}")]
    Unusable(kube::Error),
    #[error("the API server gave no answer: {0}")]
    Nothing(kube::Error),
    #[error("the API server broke off its answer: {0}")]
    Broken(String),
}

/// A list of `ReplicaSets` has all pod templates of a Deployment in it.
const MOST_ANSWER_BYTES: usize = 8 << 20;

impl Cluster {
    pub(super) async fn reached() -> Result<Cluster, NoAnswer> {
        let mut config = kube::Config::infer().await?;
        // What is tried again, and when, is the runbook's to say.
        config.default_retry = false;
        let namespace = config.default_namespace.clone();
        let client = kube::Client::try_from(config).map_err(NoAnswer::Unusable)?;
        Ok(Cluster { client, namespace })
    }

    /// The path of the request alone is looked at.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, NoAnswer> {
        let Request { method, uri, headers, body } = request;
        let mut sent = http::Request::new(kube::client::Body::from(body.to_vec()));
        (*sent.method_mut(), *sent.uri_mut(), *sent.headers_mut()) = (method, uri, headers);
        let (head, body) = self.client.send(sent).await.map_err(NoAnswer::Nothing)?.into_parts();
        let body = Limited::new(body, MOST_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| NoAnswer::Broken(error.to_string()))?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl NoAnswer {
    /// Whether another attempt would end as this one.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, NoAnswer::NoCluster(_) | NoAnswer::Unusable(_))
    }
}
