//! Just enough of HTTP/1.1 (RFC 9112) for monitoring to ask for its numbers.

use super::message::Answer;

/// What a request begins with; no request of our own protocol does.
pub(super) const GET: &[u8] = b"GET ";
/// What its head ends with.
pub(super) const END: &[u8] = b"\r\n\r\n";

/// The response to a request, after which the connection ends.
pub(super) fn response(answer: &Answer) -> Vec<u8> {
    let (status, body) = match answer {
        Answer::Metrics(text) => ("200 OK", text.as_str()),
        _ => ("503 Service Unavailable", "the daemon has no numbers now\n"),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
