"""Accounts: people, how they log in, which accounts they belong to and what they may do there.

| module | what |
|---|---|
| `access` | what a route asks of its caller |
| `passwords`, `tokens`, `two_factor` | the ways to prove something |
| `sessions`, `devices` | logins and where they come from |
| `users` | first run, sign-up, reset, changes of mail address and password |
| `team` | members, invitations, owners |
| `keys` | API keys |
| `audit_log`, `flags` | what was done; what is switched on |

Functions here block, take the time in milliseconds, and know nothing of HTTP. What a person did wrong raises
`FormError`; its text is for the page.
"""
