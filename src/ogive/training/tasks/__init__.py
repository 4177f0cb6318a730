"""What networks are for: one file a task, each a `ogive.training.task.Task`."""
