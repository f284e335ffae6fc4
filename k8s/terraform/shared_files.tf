# A file system that pods of all zones share: uploads that wait to be imported.

resource "aws_efs_file_system" "shared" {
  encrypted  = true
  kms_key_id = aws_kms_key.data.arn

  tags = { Name = var.name }
}

resource "aws_security_group" "shared" {
  name        = "${var.name}-shared-files"
  description = "NFS, from the cluster"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "shared" {
  security_group_id            = aws_security_group.shared.id
  referenced_security_group_id = aws_eks_cluster.main.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_efs_mount_target" "shared" {
  count = 3

  file_system_id  = aws_efs_file_system.shared.id
  subnet_id       = aws_subnet.private[count.index].id
  security_groups = [aws_security_group.shared.id]
}

resource "aws_eks_addon" "shared_files" {
  cluster_name             = aws_eks_cluster.main.name
  addon_name               = "aws-efs-csi-driver"
  service_account_role_arn = aws_iam_role.pod["shared-files"].arn

  depends_on = [aws_eks_node_group.zone]
}

resource "aws_iam_role_policy_attachment" "shared_files" {
  role       = aws_iam_role.pod["shared-files"].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonEFSCSIDriverPolicy"
}
