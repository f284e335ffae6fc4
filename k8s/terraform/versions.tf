# A cluster for Footfall on AWS: network, nodes, balancer, keys, registry, database, bucket, names, checks from outside.
#
#   terraform init -backend-config=backend.hcl
#   terraform apply
#
# The state holds the database's password, so the bucket that keeps it is as secret as the database.

terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.6"
    }
    tls = {
      source  = "hashicorp/tls"
      version = "~> 4.0"
    }
  }

  # Bucket, key and region: backend.hcl, which Git ignores.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      project = var.name
    }
  }
}

# Metrics of health checks are in this region, whatever it is that they check.
provider "aws" {
  alias  = "global"
  region = "us-east-1"

  default_tags {
    tags = {
      project = var.name
    }
  }
}
