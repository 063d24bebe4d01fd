//! JSON that a person can read and a version control can compare: what holds other things over several lines, what does not on one.

use serde_json::Value;

/// How long a line with several values may be.
const WIDTH: usize = 200;

/// The document as text, with a line end.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out.push('\n');
    out
}

fn is_flat(value: &Value) -> bool {
    let scalar = |value: &Value| !value.is_array() && !value.is_object();
    match value {
        // A list of lines has a line for each.
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(|value| scalar(value) || value.as_object().is_some_and(is_small)),
        _ => true,
    }
}

fn is_small(object: &serde_json::Map<String, Value>) -> bool {
    object.values().all(|value| !value.is_array() && !value.is_object())
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let inside = "  ".repeat(depth + 1);
    let line = value.to_string();
    if is_flat(value) && (line.len() <= WIDTH || !value.is_object()) {
        // A blank behind each comma and colon would want a writer of its own; the compact form is as good.
        out.push_str(&line);
        return;
    }
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    out.push(open);
    let mut first = true;
    let mut next = |out: &mut String| {
        out.push_str(if std::mem::take(&mut first) { "\n" } else { ",\n" });
        out.push_str(&inside);
    };
    match value {
        Value::Array(all) => {
            for one in all {
                next(out);
                write(one, depth + 1, out);
            }
        }
        Value::Object(all) => {
            for (key, one) in all {
                next(out);
                out.push_str(&Value::String(key.clone()).to_string());
                out.push_str(": ");
                write(one, depth + 1, out);
            }
        }
        _ => {}
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back_and_each_thing_has_a_line() {
        let value = json!({ "a": 1, "list": ["x", "y"], "things": [{ "k": "a", "v": "b" }, { "k": "c", "v": { "d": 1 } }], "none": [], "map": {} });
        let text = pretty(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(
            text,
            "{\n  \"a\": 1,\n  \"list\": [\n    \"x\",\n    \"y\"\n  ],\n  \"things\": [\n    {\"k\":\"a\",\"v\":\"b\"},\n    {\"k\":\"c\",\"v\":{\"d\":1}}\n  ],\n  \"none\": [],\n  \"map\": {}\n}\n"
        );
    }
}
