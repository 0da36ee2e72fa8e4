//! Request heads: what is refused, and that nobody sees two requests where there was one.

use crate::support::{Proxy, Upstream};

#[test]
fn a_request_reaches_blue_and_its_answer_the_client() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let response = proxy.get("/hello");
    assert_eq!((response.status, response.text().as_str()), (200, "GET /hello"));
    assert_eq!(blue.only_request().target, "/hello");
    proxy.until_outcome("success", 1);
}
