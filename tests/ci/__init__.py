"""What runs elsewhere after a push: workflows, release notes, proposals of newer versions."""
