"""From events to read models: keyed folds, the runner that moves them, and their rebuild."""
