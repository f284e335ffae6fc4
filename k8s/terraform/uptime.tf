# From outside, from several parts of the world, every half minute: can Footfall be reached, does it take hits, does it answer
# people? These alarms need nothing of the cluster.

locals {
  checks = {
    # The image that mails use: it comes once the hit's record is in the spool. The site is nobody's, so the record is a short one
    # (`unknown_site`) and in no figure of a site.
    hits  = "/hit.gif?d=uptime.invalid&p=/"
    pages = "/readyz"
  }
}

resource "aws_route53_health_check" "main" {
  for_each = local.checks

  fqdn              = var.host
  type              = "HTTPS"
  port              = 443
  resource_path     = each.value
  request_interval  = 30
  failure_threshold = 3
  measure_latency   = true
  enable_sni        = true
  regions           = ["eu-west-1", "us-east-1", "us-west-2", "ap-southeast-1", "sa-east-1"]

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_sns_topic" "uptime" {
  provider = aws.global

  name              = "${var.name}-uptime"
  kms_master_key_id = "alias/aws/sns"
}

resource "aws_sns_topic_subscription" "uptime" {
  provider = aws.global

  topic_arn = aws_sns_topic.uptime.arn
  protocol  = "email"
  endpoint  = var.alert_email
}

resource "aws_cloudwatch_metric_alarm" "uptime" {
  provider = aws.global
  for_each = local.checks

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "Footfall cannot be reached from outside (k8s/runbooks/away.md)"
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  dimensions          = { HealthCheckId = aws_route53_health_check.main[each.key].id }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 2
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.uptime.arn]
  ok_actions          = [aws_sns_topic.uptime.arn]
}
