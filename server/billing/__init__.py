"""Plans, and payments for them through Stripe: off without keys, when plans limit nobody and usage is only counted.

    form ──▶ checkout ──▶ Stripe's pages ──▶ Stripe ──▶ event ──▶ events ──▶ task ──▶ subscriptions ──▶ plan_changes
                                                └────── hourly list ──▶ reconciliation ──┘

Stripe is the truth about money, `subscriptions` its newest fetched version, `BillingProfile.plan_code` what everybody
else asks for. No card number, no bank account and no tax computation is ever here.

| module | what |
|---|---|
| `plans` | `FREE`, `BASIC`, `PREMIUM`, `PLANS_BY_CODE`, what each contains (`Feature`) |
| `plan_changes` | `change_plan`, the one way to give an account a plan; `plan_of`, `has_feature`, `plan_topic` |
| `stripe_api` | requests and answers; the only module that knows the package `stripe` |
| `entitlement` | which subscription counts, and which plan it gives; pure |
| `subscriptions` | `refresh`: fetch, and apply in the order of fetching; the task `billing.refresh` |
| `events` | the webhook: signature, once by id, a task |
| `checkout` | what an owner does |
| `reconciliation` | against Stripe's list |
| `periods` | billing periods: calendar months, months of a subscription; pure |
| `period_rows` | an account's periods in the app database follow its terms |
| `usage` | what an account has used of its plan |
| `site_owners` | which account a site's events are counted for |
| `capacity` | the mails at 80 % and 100 %, the grace, when hits are dropped |
| `prices` | what plans cost and what was billed, as pages show it |
| `errors` | what can go wrong |
"""
