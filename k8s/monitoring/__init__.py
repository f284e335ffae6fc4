"""What Prometheus and Grafana are told, as code: `python -m k8s.monitoring` writes the files of `generated/`.

| module | what | file |
|---|---|---|
| `rules` | recording rules, alerts with their runbooks, objectives | `rules.yaml`, `prometheus_rule.yaml` |
| `cases` | series over which each alert fires, and over which it does not | `rules_test.yaml`, `rules_test_long.yaml` |
| `dashboards` | what an operator looks at; how the objectives are kept | `footfall.json`, `objectives.json` |

A test says that the files agree with the code, that every series named here is one that Footfall really has or that
`FOREIGN_METRICS` names, and that promtool finds each alert firing over the one and silent over the other.
"""
