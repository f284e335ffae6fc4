variable "name" {
  description = "Prefix of everything, and the cluster's name."
  type        = string
  default     = "footfall"
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "domain" {
  description = "The zone that the DNS records are made in."
  type        = string
  default     = "example.com"
}

variable "host" {
  description = "The name of Footfall in that zone, as in the Ingresses."
  type        = string
  default     = "footfall.example.com"
}

variable "kubernetes_version" {
  type    = string
  default = "1.34"
}

variable "network" {
  description = "The cluster's network. FOOTFALL_TRUSTED_PROXIES and the ingress controller name it as well."
  type        = string
  default     = "10.0.0.0/16"
}

variable "administrators" {
  description = "Networks from which the cluster's API may be asked. Empty: only from within."
  type        = list(string)
  default     = []
}

variable "cdn_networks_ipv4" {
  description = "Who may connect to the balancer: k8s/cdn_networks.txt. Everybody, without a CDN."
  type        = list(string)
  default = [
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
  ]
}

variable "cdn_networks_ipv6" {
  type = list(string)
  default = [
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
  ]
}

variable "node_types" {
  description = "Of the groups of nodes, one in each zone."
  type        = list(string)
  default     = ["m7g.xlarge"]
}

variable "nodes_per_zone" {
  type = object({ least = number, most = number })
  default = {
    least = 1
    most  = 6
  }
}

variable "database_class" {
  type    = string
  default = "db.t4g.medium"
}

variable "alert_email" {
  description = "Who hears of failed checks from outside."
  type        = string
  default     = "operations@example.com"
}
