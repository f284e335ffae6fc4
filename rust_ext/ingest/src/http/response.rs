//! Every answer that leaves without the web application, as complete bytes.
//!
//! An answer is a status line, `Date`, fixed header lines, `Content-Length`, `Connection` and the body, appended to the
//! caller's buffer from constants: no formatting on the hot path. [`Answers`] is cheap to make and holds only the
//! formatted date; the pipeline keeps one and calls [`Answers::refresh`] with each tick's time.
//!
//! Values that come from outside pass through [`Answers::custom`], which refuses CR, LF and NUL; all other header bytes
//! are constants of this module.
use super::date::{DATE_BYTES, imf_fixdate};
use super::endpoint::Endpoint;
use crate::drop_reason::Outcome;

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// `Retry-After` of a 503: one batch age, the time in which a full spool or a missing snapshot usually mends.
pub const RETRY_AFTER_S: u32 = 1;
/// A transparent 1×1 GIF.
pub const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
    \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const CORS: &str = "Access-Control-Allow-Origin: *\r\n";
const CORS_EXPOSE: &str = "Access-Control-Expose-Headers: X-Footfall-Dropped, X-Plausible-Dropped\r\n";
const NOT_CACHED: &str = "Cache-Control: no-store, no-cache, max-age=0, must-revalidate\r\nPragma: no-cache\r\n";
const ACCEPTED_START: &[u8] = b"HTTP/1.1 202 Accepted\r\nDate: ";
const ACCEPTED_END: &[u8] = b"\r\nContent-Type: text/plain; charset=utf-8\r\nAccess-Control-Allow-Origin: *\r\n\
    Content-Length: 2\r\n\r\nok";
/// Umami's tracker sends the first four; the others are ours and Plausible's. A day is what browsers cap `Max-Age` at.
const PREFLIGHT: &str = "Access-Control-Allow-Headers: content-type, x-umami-cache, x-umami-website-id, x-umami-hostname, \
    authorization, x-debug-request\r\nAccess-Control-Max-Age: 86400\r\n";

/// How an answer must be framed: decided by the request's method, version and `Connection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reply {
    persistence: Persistence,
    head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Persistence {
    /// HTTP/1.1 that stays open: no `Connection` header.
    Implied,
    /// HTTP/1.0 that asked to stay open: `Connection: keep-alive`.
    KeepAlive,
    /// The connection closes after this answer: `Connection: close`.
    Close,
}

impl Reply {
    /// An answer after which the connection closes.
    pub const CLOSE: Reply = Reply { persistence: Persistence::Close, head: false };

    pub(super) const fn new(minor_version: u8, keep_alive: bool, head: bool) -> Reply {
        let persistence = match (keep_alive, minor_version) {
            (false, _) => Persistence::Close,
            (true, 0) => Persistence::KeepAlive,
            (true, _) => Persistence::Implied,
        };
        Reply { persistence, head }
    }

    /// The same, but the connection closes.
    #[must_use]
    pub const fn closing(self) -> Reply {
        Reply { persistence: Persistence::Close, ..self }
    }

    /// Whether the connection stays open after the answer.
    #[must_use]
    pub const fn keep_alive(self) -> bool {
        !matches!(self.persistence, Persistence::Close)
    }

    /// Whether the request was a HEAD: the answer has the GET's headers and no body.
    #[must_use]
    pub const fn is_head(self) -> bool {
        self.head
    }

    const fn connection_line(self) -> &'static str {
        match self.persistence {
            Persistence::Implied => "",
            Persistence::KeepAlive => "Connection: keep-alive\r\n",
            Persistence::Close => "Connection: close\r\n",
        }
    }
}

/// A header that [`Answers::custom`] must not send: a name that is not a token or that frames the answer, or a value
/// with CR, LF or NUL. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsafeHeader;

impl std::fmt::Display for UnsafeHeader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a header name or value that cannot be sent safely")
    }
}

impl std::error::Error for UnsafeHeader {}

/// Writes answers. `Copy` and 40 bytes: the date is its only state.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    epoch_s: i64,
    date: [u8; DATE_BYTES],
}

impl Answers {
    /// Answers dated with this time.
    #[must_use]
    pub fn at(now_ms: i64) -> Answers {
        let epoch_s = now_ms.div_euclid(1_000);
        Answers { epoch_s, date: imf_fixdate(epoch_s) }
    }

    /// Moves the date on; formats only when the second has changed.
    pub fn refresh(&mut self, now_ms: i64) {
        if now_ms.div_euclid(1_000) != self.epoch_s {
            *self = Answers::at(now_ms);
        }
    }

    /// 202 `ok`: Plausible's answer to a stored event.
    #[inline]
    pub fn event_accepted(&self, reply: Reply, out: &mut Vec<u8>) {
        if matches!(reply, Reply { persistence: Persistence::Implied, head: false }) {
            // The one answer that nearly every hit gets: three copies of known length. A test compares it with the
            // other path.
            out.reserve(ACCEPTED_START.len() + DATE_BYTES + ACCEPTED_END.len());
            out.extend_from_slice(ACCEPTED_START);
            out.extend_from_slice(&self.date);
            out.extend_from_slice(ACCEPTED_END);
        } else {
            self.event_accepted_in_parts(reply, out);
        }
    }

    fn event_accepted_in_parts(&self, reply: Reply, out: &mut Vec<u8>) {
        self.write(reply, "HTTP/1.1 202 Accepted\r\n", &[TEXT, CORS], b"ok", out);
    }

    /// 202 `ok` for a hit that was dropped: the reason, and how many of the body's events were dropped.
    pub fn event_dropped(&self, reply: Reply, reason: Outcome, events: u32, out: &mut Vec<u8>) {
        let mut digits = [0; MAX_DIGITS];
        let events = decimal(u64::from(events), &mut digits);
        let lines = [
            TEXT,
            CORS,
            CORS_EXPOSE,
            "X-Footfall-Dropped: ",
            reason.label(),
            "\r\nX-Plausible-Dropped: ",
            events,
            "\r\n",
        ];
        self.write(reply, "HTTP/1.1 202 Accepted\r\n", &lines, b"ok", out);
    }

    /// 200 with JSON, with the drop reason when the hit was dropped: Umami's answers, the debug answer.
    pub fn json(&self, reply: Reply, dropped: Option<Outcome>, body: &[u8], out: &mut Vec<u8>) {
        match dropped {
            None => self.write(reply, "HTTP/1.1 200 OK\r\n", &[JSON, CORS], body, out),
            Some(reason) => {
                let lines = [JSON, CORS, CORS_EXPOSE, "X-Footfall-Dropped: ", reason.label(), "\r\n"];
                self.write(reply, "HTTP/1.1 200 OK\r\n", &lines, body, out);
            }
        }
    }

    /// 200 with the GIF, never cached; a mail client or browser shows it whatever happened, so a drop stands in the
    /// header only.
    pub fn gif(&self, reply: Reply, dropped: Option<Outcome>, out: &mut Vec<u8>) {
        const TYPE: &str = "Content-Type: image/gif\r\n";
        match dropped {
            None => self.write(reply, "HTTP/1.1 200 OK\r\n", &[TYPE, NOT_CACHED, CORS], GIF, out),
            Some(reason) => {
                let lines = [TYPE, NOT_CACHED, CORS, CORS_EXPOSE, "X-Footfall-Dropped: ", reason.label(), "\r\n"];
                self.write(reply, "HTTP/1.1 200 OK\r\n", &lines, GIF, out);
            }
        }
    }

    /// 400 with a JSON body that the caller made: `{"errors":{field:[…]}}` or Umami's `{"error":{…}}`.
    pub fn bad_request(&self, reply: Reply, body: &[u8], out: &mut Vec<u8>) {
        self.write(reply, "HTTP/1.1 400 Bad Request\r\n", &[JSON, CORS], body, out);
    }

    /// 400 `{"errors":{field:[message]}}`: Plausible's answer to one wrong field.
    pub fn field_error(&self, reply: Reply, field: &str, message: &str, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(24 + field.len() + message.len());
        body.extend_from_slice(b"{\"errors\":{");
        push_json_string(field, &mut body);
        body.extend_from_slice(b":[");
        push_json_string(message, &mut body);
        body.extend_from_slice(b"]}}");
        self.bad_request(reply, &body, out);
    }

    /// 413 for a hit's body over the limit.
    pub fn body_too_large(&self, reply: Reply, out: &mut Vec<u8>) {
        self.write(reply, "HTTP/1.1 413 Content Too Large\r\n", &[TEXT, CORS], b"body too large\n", out);
    }

    /// 503 with `Retry-After`: the spool is full, there is no snapshot, or a commit failed.
    pub fn unavailable(&self, reply: Reply, retry_after_s: u32, out: &mut Vec<u8>) {
        let mut digits = [0; MAX_DIGITS];
        let seconds = decimal(u64::from(retry_after_s), &mut digits);
        let lines = [TEXT, CORS, "Retry-After: ", seconds, "\r\n"];
        self.write(reply, "HTTP/1.1 503 Service Unavailable\r\n", &lines, b"try again\n", out);
    }

    /// 204 to `OPTIONS` on a hit endpoint.
    pub fn preflight(&self, reply: Reply, endpoint: Endpoint, out: &mut Vec<u8>) {
        let methods = endpoint.allowed_methods();
        let lines =
            ["Allow: ", methods, "\r\nAccess-Control-Allow-Methods: ", methods, "\r\n", CORS, CORS_EXPOSE, PREFLIGHT];
        self.start("HTTP/1.1 204 No Content\r\n", &lines, out); // 204 has no body, so no Content-Length either
        out.extend_from_slice(reply.connection_line().as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// 405 with `Allow`.
    pub fn method_not_allowed(&self, reply: Reply, endpoint: Endpoint, out: &mut Vec<u8>) {
        let lines = [TEXT, CORS, "Allow: ", endpoint.allowed_methods(), "\r\n"];
        self.write(reply, "HTTP/1.1 405 Method Not Allowed\r\n", &lines, b"method not allowed\n", out);
    }

    /// Any final status with any headers and body; CORS is the caller's.
    ///
    /// # Errors
    /// A header could split or reframe the answer; nothing was written then.
    pub fn custom(
        &self,
        reply: Reply,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), UnsafeHeader> {
        if !headers.iter().all(|(name, value)| is_safe_header(name, value)) {
            return Err(UnsafeHeader);
        }
        let mut digits = [0; MAX_DIGITS];
        let mut lines =
            vec![decimal(u64::from(status.clamp(200, 999)), &mut digits), " ", reason_phrase(status), "\r\n"];
        lines.extend(headers.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]));
        let (status_parts, header_parts) = lines.split_at(4);
        out.extend_from_slice(b"HTTP/1.1 ");
        for part in status_parts {
            out.extend_from_slice(part.as_bytes());
        }
        self.write(reply, "", header_parts, body, out);
        Ok(())
    }

    /// A plain-text answer of this module's own: rejections.
    pub(super) fn text(&self, reply: Reply, status_line: &'static str, message: &str, out: &mut Vec<u8>) {
        self.write(reply, status_line, &[TEXT, CORS], message.as_bytes(), out);
    }

    fn start(&self, status_line: &str, lines: &[&str], out: &mut Vec<u8>) {
        out.extend_from_slice(status_line.as_bytes());
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(&self.date);
        out.extend_from_slice(b"\r\n");
        for line in lines {
            out.extend_from_slice(line.as_bytes());
        }
    }

    #[inline]
    fn write(&self, reply: Reply, status_line: &str, lines: &[&str], body: &[u8], out: &mut Vec<u8>) {
        out.reserve(256 + body.len());
        self.start(status_line, lines, out);
        let mut digits = [0; MAX_DIGITS];
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(decimal(body.len() as u64, &mut digits).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(reply.connection_line().as_bytes());
        out.extend_from_slice(b"\r\n");
        if !reply.head {
            out.extend_from_slice(body);
        }
    }
}

/// Digits of the largest u64.
const MAX_DIGITS: usize = 20;

/// Writes a number's decimal digits into the buffer's end.
fn decimal(mut value: u64, digits: &mut [u8; MAX_DIGITS]) -> &str {
    let mut start = MAX_DIGITS;
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        start = index;
        if value == 0 {
            break;
        }
    }
    digits.get(start..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or("0")
}

fn push_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// RFC 9110 §5.6.2 token byte.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

fn is_safe_header(name: &str, value: &str) -> bool {
    const FRAMING: [&str; 4] = ["content-length", "transfer-encoding", "connection", "date"];
    !name.is_empty()
        && name.bytes().all(is_token_byte)
        && !FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing))
        && !value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "", // RFC 9112 §4: the phrase may be absent, the space before it may not
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_to_202_writes_the_same() {
        let answers = Answers::at(784_111_777_000);
        let reply = Reply::new(1, true, false);
        let (mut short, mut long) = (Vec::new(), Vec::new());
        answers.event_accepted(reply, &mut short);
        answers.event_accepted_in_parts(reply, &mut long);
        assert_eq!(String::from_utf8_lossy(&short), String::from_utf8_lossy(&long));
    }

    #[test]
    fn decimal_numbers() {
        for value in [0, 7, 10, 4_294_967_295, u64::MAX] {
            assert_eq!(decimal(value, &mut [0; MAX_DIGITS]), value.to_string());
        }
    }
}
