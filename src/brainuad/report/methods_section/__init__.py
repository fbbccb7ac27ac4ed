"""The methods section of a study: text, tables, references and checklist, from its plan and its results."""
