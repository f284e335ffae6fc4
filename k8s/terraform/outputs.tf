output "cluster" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = aws_eks_cluster.main.name
}

output "balancer" {
  description = "What the CDN connects to, and External DNS's default target."
  value       = aws_route53_record.balancer.name
}

output "registry" {
  description = "Where images go: overlays/production and flux/images.yaml name it."
  value       = aws_ecr_repository.footfall.repository_url
}

output "backup_target" {
  description = "FOOTFALL_BACKUP_TARGET"
  value       = "s3://${aws_s3_bucket.backups.bucket}/backups"
}

output "app_database_url" {
  description = "FOOTFALL_APP_DATABASE_URL"
  value       = "postgresql://footfall:${random_password.database.result}@${aws_db_instance.main.endpoint}/footfall?sslmode=require"
  sensitive   = true
}

output "roles" {
  description = "For the annotations eks.amazonaws.com/role-arn of the service accounts."
  value       = { for name, role in aws_iam_role.pod : name => role.arn }
}

output "shared_files" {
  description = "fileSystemId of the StorageClass footfall-shared."
  value       = aws_efs_file_system.shared.id
}
