"""Files and batches in OpenAI's shape: many requests in one file, asked by the job worker, answered in another file."""
