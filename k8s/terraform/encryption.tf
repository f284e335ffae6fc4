# One key for each kind of thing, renewed every year by itself; what was encrypted before stays readable.

resource "aws_kms_key" "secrets" {
  description             = "${var.name}: the cluster's secrets"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "secrets" {
  name          = "alias/${var.name}-secrets"
  target_key_id = aws_kms_key.secrets.key_id
}

resource "aws_kms_key" "data" {
  description             = "${var.name}: database and images"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "data" {
  name          = "alias/${var.name}-data"
  target_key_id = aws_kms_key.data.key_id
}

# Every volume of this account and region, those of k8s/cluster's StorageClass among them.
resource "aws_ebs_encryption_by_default" "on" {
  enabled = true
}
