//! One stream: a request, its answer, and the tunnel that it may become.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{Method, Request, Response, response};
use http_body::Body;
use tokio::time::Instant;

use super::streams::Shared;
use crate::proxy::client::tunnel;
use crate::proxy::request::{AnswerBody, Tunnel, answer_http2, strip_interim};
use crate::proxy::wire::{Phase, Pipe, Progress, Received, Side};

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client has taken its request back before there was an answer.
    TakenBack,
    Otherwise,
}

/// Serves one to its end.
pub(super) async fn serve(
    shared: Rc<Shared>,
    progress: Rc<Progress>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Ended {
    let (head, stream) = request.into_parts();
    // What follows a CONNECT is for whoever takes it, if anybody does.
    let (body, follows) = match head.method {
        Method::CONNECT => (Received::None, Some(stream)),
        _ => (Received::on_stream(stream, &head.headers), None),
    };
    let (service, client) = (Rc::clone(&shared.service), Rc::clone(&shared.client));
    let mut answered = pin!(answer_http2(service, Rc::clone(&progress), client, Request::from_parts(head, body)));
    let answered = std::future::poll_fn(|cx| {
        let polled = answered.as_mut().poll(cx);
        if progress.interims.any() {
            send_interims(&progress, &mut respond);
        }
        match polled {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    });
    let (mut head, body) = match answered.await {
        None => return Ended::TakenBack,
        Some(Err(reason)) => {
            respond.send_reset(reason);
            return Ended::Otherwise;
        }
        Some(Ok(answer)) => answer.into_parts(),
    };
    head.headers.entry(DATE).or_insert_with(|| shared.date.now());
    let tunnel = shared.client.tunnel.borrow_mut().take();
    let sent = match (tunnel, follows) {
        (Some(tunnel), Some(stream)) => {
            // Large, and rare.
            Box::pin(join(&shared, &progress, head, &mut respond, stream, tunnel)).await
        }
        (_, _follows) => send(head, body, &mut respond).await,
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer could not be sent");
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
    Ended::Otherwise
}

#[cold]
fn send_interims(progress: &Progress, respond: &mut SendResponse<Bytes>) {
    for mut head in progress.interims.take() {
        strip_interim(head.headers_mut());
        if let Err(error) = respond.send_informational(head) {
            tracing::debug!(%error, "an interim answer could not be sent");
        }
    }
}

async fn send(mut head: response::Parts, body: AnswerBody, respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    if body.is_end_stream() {
        return respond.send_response(Response::from_parts(head, ()), true).map(|_| ());
    }
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    let to = respond.send_response(Response::from_parts(head, ()), false)?;
    Pipe::new(body, to, Reason::INTERNAL_ERROR).await;
    Ok(())
}

/// Agrees to a tunnel, and is one until it ends.
async fn join(
    shared: &Shared,
    progress: &Progress,
    head: response::Parts,
    respond: &mut SendResponse<Bytes>,
    from: RecvStream,
    tunnel: Tunnel,
) -> Result<(), h2::Error> {
    let to = respond.send_response(Response::from_parts(head, ()), false)?;
    let idle = shared.service.serving().settings().timeouts.tunnel_idle;
    progress.enter(Phase::Tunnel, Instant::now(), idle);
    if let Err(error) = tunnel::join(&shared.service, &Side::stream(to, from), Bytes::new(), tunnel, idle).await {
        tracing::debug!(%error, client = %shared.client.address, "the tunnel was cut off");
    }
    Ok(())
}
