//! Where the resource is, and the API server that has it.

use std::fmt;
use std::str::FromStr;

use kube::api::PatchParams;
use kube::{Api, Client, Config};

use super::resource::GatedRollout;

/// Written `NAME`, in the namespace of the service account or of the kubeconfig, or `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub namespace: Option<String>,
    pub name: String,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    #[error(
        "it is not known where the API server is: {0}; run in a pod with a service account, or name a kubeconfig in \
         KUBECONFIG"
    )]
    Config(#[from] kube::config::InferConfigError),
    #[error("the API server cannot be spoken to: {0}")]
    Client(#[from] kube::Error),
}

impl Place {
    /// A way to the resources of its namespace, and that. Nothing is sent yet.
    pub async fn connect(&self) -> Result<(Api<GatedRollout>, String), Unknown> {
        let config = Config::infer().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok((Api::namespaced(Client::try_from(config)?, &namespace), namespace))
    }
}

/// Writes in the name of this program, which the resource's `managedFields` keep.
pub fn by(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let place = match text.split_once('/') {
            Some((namespace, name)) => Place { namespace: Some(namespace.to_owned()), name: name.to_owned() },
            None => Place { namespace: None, name: text.to_owned() },
        };
        let parts = place.namespace.iter().chain([&place.name]);
        let is_name = |part: &String| {
            let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            !part.is_empty() && part.bytes().all(is_inner)
        };
        if parts.into_iter().all(is_name) {
            return Ok(place);
        }
        Err(format!("`{text}` names no resource: write `NAME` or `NAMESPACE/NAME`, like `shop/checkout`"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => self.name.fmt(f),
        }
    }
}
