"""What Prometheus and Grafana are told, as code: `python -m k8s.monitoring` writes the files of `generated/`.

| module | what | file |
|---|---|---|
| `rules` | recording rules, alerts with their runbooks, objectives | `rules.yaml`, `prometheus_rule.yaml` |
| `dashboards` | what an operator looks at | `footfall.json` |

A test says that the files agree with the code, and that every metric named here is one that Footfall, ClickHouse,
cert-manager or Kubernetes really has. `rules_test.yaml` holds the alerts to made-up series (`promtool test rules`).
"""
