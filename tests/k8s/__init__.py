"""What Footfall is told to be elsewhere: manifests, alert rules, workflows, infrastructure."""
