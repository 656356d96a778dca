"""Labels: checked when they come in, kept with their history, told of in an audit trail, stored in the PACS."""
