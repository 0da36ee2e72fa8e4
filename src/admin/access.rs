//! Who may use the admin API: bearer tokens with roles, and no page from another site.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Method, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Context;
use super::problem::Problem;
use crate::config::{Access, Role, Token};

/// Who sent a request, for the record.
#[derive(Clone, Debug)]
pub(super) struct Actor(pub String);

/// The actor when no tokens are configured: whoever is on this machine.
const LOCAL: &str = "local";

/// Lets a request pass whose token has the role that its method needs.
pub(super) async fn authorise(
    State(context): State<Context>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (actor, role) = match &context.settings().access {
        Access::Loopback => (LOCAL.to_owned(), Role::Operator),
        Access::Tokens(tokens) => {
            let token = known(tokens, request.headers())?;
            if !request.method().is_safe() && token.role < Role::Operator {
                return Err(Problem::NotOperator { name: token.name.clone() });
            }
            (token.name.clone(), token.role)
        }
    };
    request.extensions_mut().insert(Actor(actor));
    request.extensions_mut().insert(role);
    Ok(next.run(request).await)
}

/// Refuses what a browser sends for a page of another site, or to a name that was made to point here.
pub(super) async fn same_site(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if matches!(context.settings().access, Access::Loopback) && !is_local(host) {
        return Err(Problem::OtherSite(format!("Host is {host}, which is neither an address nor localhost")));
    }
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && *request.method() != Method::GET
    {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        if authority != host {
            return Err(Problem::OtherSite(format!("Origin is {origin}, Host is {host}")));
        }
    }
    Ok(next.run(request).await)
}

fn is_local(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok()
}

/// The token of a request. Compares with every digest in constant time, so that timing tells nothing.
fn known<'a>(tokens: &'a [Token], headers: &HeaderMap) -> Result<&'a Token, Problem> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().split_first_chunk::<7>())
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map(|(_, token)| token)
        .ok_or(Problem::NoToken)?;
    let digest: [u8; 32] = Sha256::digest(bearer).into();
    let mut found = None;
    for token in tokens {
        if bool::from(token.sha256.ct_eq(&digest)) {
            found = Some(token);
        }
    }
    found.ok_or(Problem::UnknownToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_local() {
        for host in ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "[::1]:9090", "[::1]", "10.0.0.1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example:1"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
