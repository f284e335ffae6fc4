//! Why a request was refused before anyone saw it. Each refusal is answered once and closes the connection: after a
//! framing error nobody can say where the next request starts.
use super::response::{Answers, Reply};

/// A refused request. Consumes the rest of the connection's input; never retriable on the same connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Not HTTP/1.1 syntax: request line, header line, line ends, control bytes, obsolete folding, blank before a
    /// colon.
    Malformed,
    /// The HTTP/2 preface on a cleartext HTTP/1.1 port.
    Http2Preface,
    /// HTTP/1.1 without exactly one valid `Host`, or HTTP/1.0 with several.
    Host,
    /// `Content-Length` that is not one plain decimal number.
    ContentLength,
    /// `Transfer-Encoding` other than a lone `chunked`, or in HTTP/1.0.
    TransferEncoding,
    /// `Content-Length` and `Transfer-Encoding` together.
    AmbiguousLength,
    /// A chunked body whose sizes, line ends or trailers are wrong.
    Chunk,
    /// The request did not arrive in time.
    Timeout,
    /// A body over the limit of its kind.
    BodyTooLarge,
    /// The request line is over its limit.
    TargetTooLong,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// The head is over its limit of bytes or lines.
    HeadTooLarge,
    /// `CONNECT`: this is not a proxy.
    NotAProxy,
    /// An HTTP version other than 1.0 and 1.1.
    Version,
}

impl Rejection {
    /// Every rejection; a test fails on one that no request provokes.
    pub const ALL: [Rejection; 14] = [
        Rejection::Malformed,
        Rejection::Http2Preface,
        Rejection::Host,
        Rejection::ContentLength,
        Rejection::TransferEncoding,
        Rejection::AmbiguousLength,
        Rejection::Chunk,
        Rejection::Timeout,
        Rejection::BodyTooLarge,
        Rejection::TargetTooLong,
        Rejection::Expectation,
        Rejection::HeadTooLarge,
        Rejection::NotAProxy,
        Rejection::Version,
    ];

    /// The status it is answered with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Rejection::Malformed
            | Rejection::Http2Preface
            | Rejection::Host
            | Rejection::ContentLength
            | Rejection::TransferEncoding
            | Rejection::AmbiguousLength
            | Rejection::Chunk => 400,
            Rejection::Timeout => 408,
            Rejection::BodyTooLarge => 413,
            Rejection::TargetTooLong => 414,
            Rejection::Expectation => 417,
            Rejection::HeadTooLarge => 431,
            Rejection::NotAProxy => 501,
            Rejection::Version => 505,
        }
    }

    /// The label in metrics, and the answer's text.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Rejection::Malformed => "malformed",
            Rejection::Http2Preface => "http2_preface",
            Rejection::Host => "host",
            Rejection::ContentLength => "content_length",
            Rejection::TransferEncoding => "transfer_encoding",
            Rejection::AmbiguousLength => "ambiguous_length",
            Rejection::Chunk => "chunk",
            Rejection::Timeout => "timeout",
            Rejection::BodyTooLarge => "body_too_large",
            Rejection::TargetTooLong => "target_too_long",
            Rejection::Expectation => "expectation",
            Rejection::HeadTooLarge => "head_too_large",
            Rejection::NotAProxy => "not_a_proxy",
            Rejection::Version => "version",
        }
    }

    /// Appends the complete answer, which closes the connection.
    pub fn answer(self, now_ms: i64, out: &mut Vec<u8>) {
        let status_line = match self.status() {
            408 => "HTTP/1.1 408 Request Timeout\r\n",
            413 => "HTTP/1.1 413 Content Too Large\r\n",
            414 => "HTTP/1.1 414 URI Too Long\r\n",
            417 => "HTTP/1.1 417 Expectation Failed\r\n",
            431 => "HTTP/1.1 431 Request Header Fields Too Large\r\n",
            501 => "HTTP/1.1 501 Not Implemented\r\n",
            505 => "HTTP/1.1 505 HTTP Version Not Supported\r\n",
            _ => "HTTP/1.1 400 Bad Request\r\n",
        };
        Answers::at(now_ms).text(Reply::CLOSE, status_line, self.label(), out);
    }
}
