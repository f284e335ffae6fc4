/** Why a hit was dropped, in one sentence, and what one can do about it. The reasons are `Outcome` of rust_ext. */

const WORDS: Readonly<Record<string, string>> = {
  bot: "The agent is a bot, a script or a headless browser, or the address belongs to a data centre.",
  prefetch: "The browser loaded the page ahead of time, and nobody looked at it.",
  referrer_spam: "The referrer is on the list of hosts that only want to be seen in statistics.",
  hostname: "The page's hostname is not on this site's list. Settings, Counting.",
  rate: "More hits from one address, or to this site, than people make.",
  capacity: "The plan's monthly events and its grace period were used up.",
  blocked: "The site was stopped.",
  unknown_site: "No site of that name was known.",
  timestamp: "The hit named a time more than 7 days ago, or in the future.",
  sampled: "This site counts a sample; the hits that were kept stand for these too.",
  unsupported: "A kind of event that is not stored here.",
  blocked_network: "The address is on this site's list of blocked addresses. Settings, Counting.",
  blocked_country: "The country is on this site's list. Settings, Counting.",
  blocked_path: "The page is on this site's list. Settings, Counting.",
  json: "The body was not JSON of the kind that this address takes.",
  field_type: "A field had the wrong type.",
  field_missing: "A field that is needed was missing or empty.",
  field_too_long: "A field was longer than it may be.",
  url: "The page's address could not be read.",
  body_too_large: "The request was larger than it may be.",
  field_range: "A number was out of its range.",
};

export function reasonWords(reason: string): string {
  return WORDS[reason] ?? "";
}
