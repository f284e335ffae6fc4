//! What the sender of a hit is told, in the words of the API it speaks.

use std::io::Write as _;

use super::judge::Verdict;
use crate::drop_reason::Outcome;
use crate::http::{Answers, Endpoint, HitRequest};
use crate::payload::Reject;

/// Answers a debug request: the address that a hit would be counted under, so that an operator can check the proxies.
pub(super) fn debug(answers: &Answers, request: &HitRequest<'_>, out: &mut Vec<u8>) {
    let body = format!("{{\"ip\":\"{}\"}}", request.client.ip);
    answers.json(request.reply, None, body.as_bytes(), out);
}

/// Answers a judged hit.
pub(super) fn write(answers: &Answers, request: &HitRequest<'_>, verdict: &Verdict, out: &mut Vec<u8>) {
    match request.endpoint {
        Endpoint::Send | Endpoint::Batch => umami(answers, request, verdict, out),
        // An image is answered with the image whatever became of it; only the header says.
        Endpoint::Gif => {
            let reason = verdict.reject.map(|reject| reject.outcome).or(verdict.drop_reason);
            answers.gif(request.reply, reason, out);
        }
        Endpoint::Event => match (verdict.reject, verdict.drop_reason) {
            (Some(reject), _) => answers.field_error(request.reply, reject.field, reject.message, out),
            (None, Some(reason)) => answers.event_dropped(request.reply, reason, verdict.dropped, out),
            (None, None) => answers.event_accepted(request.reply, out),
        },
    }
}

fn umami(answers: &Answers, request: &HitRequest<'_>, verdict: &Verdict, out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(160);
    if is_umami_error(verdict) {
        umami_error(verdict, &mut body);
        answers.bad_request(request.reply, &body, out);
    } else {
        umami_body(verdict, &mut body);
        answers.json(request.reply, verdict.drop_reason, &body, out);
    }
}

/// Whether Umami's clients hear 400: for what is no hit, and for a website that does not exist.
pub(super) fn is_umami_error(verdict: &Verdict) -> bool {
    verdict.reject.is_some() || verdict.drop_reason == Some(Outcome::UnknownSite)
}

/// Umami's tracker reads `disabled` and `cache`, and sends `cache` back in a header, unread by us.
fn umami_body(verdict: &Verdict, body: &mut Vec<u8>) {
    match verdict.drop_reason {
        Some(Outcome::Capacity | Outcome::Blocked) => body.extend_from_slice(b"{\"disabled\":true}"),
        Some(Outcome::Bot) => body.extend_from_slice(b"{\"beep\":\"boop\"}"),
        _ => {
            let session = uuid(verdict.visitor_id, 0x5E55_1014_0F00_7FA1);
            let visit = uuid(verdict.visitor_id, 0x0171_5170_0F00_7FA1);
            push(body, format_args!("{{\"cache\":\"{session}\",\"sessionId\":\"{session}\",\"visitId\":\"{visit}\"}}"));
        }
    }
}

fn umami_error(verdict: &Verdict, body: &mut Vec<u8>) {
    const NO_SITE: Reject = Reject { outcome: Outcome::UnknownSite, field: "website", message: "is not a site here" };
    let reject = verdict.reject.unwrap_or(NO_SITE);
    // Fields and messages are our own words: nothing in them needs escaping.
    push(
        body,
        format_args!(
            "{{\"error\":{{\"message\":\"{} {}\",\"code\":\"{}\",\"status\":400}}}}",
            reject.field,
            reject.message,
            reject.outcome.label()
        ),
    );
}

/// One entry of Umami's batch answer.
pub(super) fn umami_detail(index: usize, verdict: &Verdict, body: &mut Vec<u8>) {
    push(body, format_args!("{{\"index\":{index},\"response\":"));
    umami_error(verdict, body);
    body.push(b'}');
}

/// The head of Umami's batch answer, up to the details.
pub(super) fn umami_batch(size: usize, errors: usize, details: &[u8], body: &mut Vec<u8>) {
    let processed = size - errors;
    push(body, format_args!("{{\"size\":{size},\"processed\":{processed},\"errors\":{errors},\"details\":["));
    body.extend_from_slice(details);
    body.extend_from_slice(b"],\"cache\":\"\"}");
}

fn push(body: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = body.write_fmt(text);
}

/// A UUID (version 8: made our own way) that tells no more than the visitor id: it lives as long as the day's salt.
fn uuid(visitor_id: u64, purpose: u64) -> String {
    let high = (visitor_id ^ purpose).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let low = visitor_id.rotate_left(29) ^ purpose.rotate_left(7);
    let bits = (u128::from(high) << 64 | u128::from(low)) & !(0xF << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::uuid;

    #[test]
    fn ids_have_the_form_of_a_uuid() {
        let id = uuid(0x0123_4567_89AB_CDEF, 7);
        assert_eq!(id.len(), 36);
        assert_eq!(id.chars().nth(14), Some('8'));
        assert!(matches!(id.chars().nth(19), Some('8'..='9' | 'a'..='b')));
        assert_ne!(id, uuid(0x0123_4567_89AB_CDEE, 7));
    }
}
