"""Reading Kubernetes objects and configurations."""
