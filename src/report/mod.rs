//! What a release was, told in Markdown.
