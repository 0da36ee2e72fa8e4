//! Texts as Jira's third API has them: the Atlassian Document Format
//! (developer.atlassian.com/cloud/jira/platform/apis/document/structure). Text in it has no markup of its own, so nothing
//! needs to be escaped.

use serde_json::{Value, json};

/// A document: an empty line parts paragraphs, lines that begin with `- ` are a list, and addresses are links.
pub(super) fn document(text: &str) -> Value {
    let mut content = Vec::new();
    for block in text.replace("\r\n", "\n").split("\n\n") {
        let mut lines: Vec<&str> = Vec::new();
        let mut items: Vec<&str> = Vec::new();
        for line in block.lines().filter(|line| !line.trim().is_empty()) {
            match line.strip_prefix("- ") {
                Some(item) => {
                    content.extend(paragraph(&mut lines));
                    items.push(item);
                }
                None => {
                    content.extend(list(&mut items));
                    lines.push(line);
                }
            }
        }
        content.extend(paragraph(&mut lines));
        content.extend(list(&mut items));
    }
    json!({ "type": "doc", "version": 1, "content": content })
}

/// Takes the lines.
fn paragraph(lines: &mut Vec<&str>) -> Option<Value> {
    let mut content = Vec::new();
    for (index, line) in lines.drain(..).enumerate() {
        if index > 0 {
            content.push(json!({ "type": "hardBreak" }));
        }
        content.extend(inline(line));
    }
    (!content.is_empty()).then(|| json!({ "type": "paragraph", "content": content }))
}

/// Takes the items.
fn list(items: &mut Vec<&str>) -> Option<Value> {
    let items: Vec<Value> = items
        .drain(..)
        .map(|item| json!({ "type": "listItem", "content": [{ "type": "paragraph", "content": inline(item) }] }))
        .collect();
    (!items.is_empty()).then(|| json!({ "type": "bulletList", "content": items }))
}

/// A text node may not be empty.
fn inline(line: &str) -> Vec<Value> {
    let mut nodes = Vec::new();
    let mut rest = line;
    while let Some(start) = ["https://", "http://"].iter().filter_map(|scheme| rest.find(scheme)).min() {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| c.is_whitespace() || "<>\"'`".contains(c)).unwrap_or(from.len());
        let link = from[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
        if link.ends_with('/') && link.matches('/').count() == 2 {
            break;
        }
        if !before.is_empty() {
            nodes.push(json!({ "type": "text", "text": before }));
        }
        nodes.push(json!({ "type": "text", "text": link, "marks": [{ "type": "link", "attrs": { "href": link } }] }));
        rest = &from[link.len()..];
    }
    if !rest.is_empty() {
        nodes.push(json!({ "type": "text", "text": rest }));
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_paragraphs_lists_and_links() {
        let text = "v2 *is* bad\nby <gate>\n\nSteps:\n- flipped\n- see https://p.example/r/1.\n\n\n";
        let plain = |text: &str| json!({ "type": "text", "text": text });
        let item =
            |content: Value| json!({ "type": "listItem", "content": [{ "type": "paragraph", "content": content }] });
        let link = json!({
            "type": "text", "text": "https://p.example/r/1",
            "marks": [{ "type": "link", "attrs": { "href": "https://p.example/r/1" } }],
        });
        assert_eq!(
            document(text),
            json!({ "type": "doc", "version": 1, "content": [
                { "type": "paragraph", "content": [plain("v2 *is* bad"), { "type": "hardBreak" }, plain("by <gate>")] },
                { "type": "paragraph", "content": [plain("Steps:")] },
                { "type": "bulletList", "content": [
                    item(json!([plain("flipped")])),
                    item(json!([plain("see "), link, plain(".")])),
                ] },
            ] })
        );
    }

    #[test]
    fn an_empty_text_is_an_empty_document() {
        assert_eq!(document(" \n"), json!({ "type": "doc", "version": 1, "content": [] }));
        assert_eq!(inline("say http://"), vec![json!({ "type": "text", "text": "say http://" })], "names no host");
    }
}
