# The balancer passes connections on to the ingress controller of every node, and tells by the PROXY protocol who connected.

resource "aws_security_group" "balancer" {
  name        = "${var.name}-balancer"
  description = "Who may connect: the CDN"
  vpc_id      = aws_vpc.main.id
}

locals {
  ports = {
    http  = { outside = 80, node = 30080 }
    https = { outside = 443, node = 30443 }
  }

  openings = merge([
    for name, port in local.ports : merge(
      { for network in var.cdn_networks_ipv4 : "${name}-${network}" => { port = port.outside, ipv4 = network, ipv6 = null } },
      { for network in var.cdn_networks_ipv6 : "${name}-${network}" => { port = port.outside, ipv4 = null, ipv6 = network } },
    )
  ]...)
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each = local.openings

  security_group_id = aws_security_group.balancer.id
  cidr_ipv4         = each.value.ipv4
  cidr_ipv6         = each.value.ipv6
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each = local.ports

  security_group_id            = aws_security_group.balancer.id
  referenced_security_group_id = aws_eks_cluster.main.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.node
  to_port                      = each.value.node
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  for_each = local.ports

  security_group_id            = aws_eks_cluster.main.vpc_config[0].cluster_security_group_id
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "tcp"
  from_port                    = each.value.node
  to_port                      = each.value.node
}

resource "aws_lb" "main" {
  name                             = var.name
  load_balancer_type               = "network"
  ip_address_type                  = "dualstack"
  subnets                          = aws_subnet.public[*].id
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = true
}

resource "aws_lb_target_group" "main" {
  for_each = local.ports

  name     = "${var.name}-${each.key}"
  port     = each.value.node
  protocol = "TCP"
  vpc_id   = aws_vpc.main.id

  proxy_protocol_v2      = true
  preserve_client_ip     = false
  deregistration_delay   = 60
  connection_termination = false

  # The controller answers a connection itself; with externalTrafficPolicy Local only nodes that have one do.
  health_check {
    protocol            = "TCP"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "main" {
  for_each = local.ports

  load_balancer_arn = aws_lb.main.arn
  port              = each.value.outside
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.main[each.key].arn
  }
}

resource "aws_autoscaling_attachment" "main" {
  for_each = { for pair in setproduct(keys(local.ports), range(3)) : "${pair[0]}-${pair[1]}" => pair }

  autoscaling_group_name = aws_eks_node_group.zone[each.value[1]].resources[0].autoscaling_groups[0].name
  lb_target_group_arn    = aws_lb_target_group.main[each.value[0]].arn
}
