"""Everything that a person reads: documents, built once a command and shown in every form."""
