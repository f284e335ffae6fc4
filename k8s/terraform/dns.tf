# The zone is there already: it is where the domain was registered. External DNS makes the records of Ingresses in it; this one
# says who may make certificates.

data "aws_route53_zone" "main" {
  name = var.domain
}

resource "aws_route53_record" "certificates" {
  zone_id = data.aws_route53_zone.main.zone_id
  name    = var.host
  type    = "CAA"
  ttl     = 3600
  records = ["0 issue \"letsencrypt.org\"", "0 issuewild \";\""]
}

resource "aws_route53_record" "balancer" {
  zone_id = data.aws_route53_zone.main.zone_id
  name    = "balancer.${var.domain}"
  type    = "A"

  alias {
    name                   = aws_lb.main.dns_name
    zone_id                = aws_lb.main.zone_id
    evaluate_target_health = false
  }
}
