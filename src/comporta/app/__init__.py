"""The one place that knows every room: settings, the gate, and the processes it runs as."""
