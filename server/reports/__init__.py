"""Reports by mail and alerts about traffic, for people who look after a site; and the staff's daily mail.

| module | what |
|---|---|
| `periods` | which days a report is about, and when it is due |
| `subscriptions` | who gets what: kept, confirmed, ended |
| `unsubscribing` | the links that end one |
| `figures` | what a report says, as numbers, of many sites at once |
| `content`, `chart` | the same as words and as a picture |
| `sending` | what is due: claimed and queued, each once |
| `traffic_alerts` | what people want to hear of, and whether it is so |
| `staff` | what staff are told each day |

A report is due at six in the morning of the site, on the first day after its period. It goes out once everything that
was answered in the period is stored (the watermark) and its days are closed. `sending` tells how each goes out once.
"""
