"""The data plane's OpenAPI page: what each door reads and answers as msgspec types, put together into one document."""
