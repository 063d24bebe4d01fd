//! Maps that netwright makes and whose keys are known: what `ping`, `exec`, `connect` and their like return.
//!
//! A map of a script's own gives `()` for a key that it does not have; of these a key that is not there is a typing mistake. Rhai's maps cannot
//! tell the two apart: its hook for a missing property does not say whether the property is read or set. So they are a type of their own
//! that does what a map does, and whose keys are looked up here.

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use crate::error::{Error, Kind};
use crate::model::suggest::with_nearest;
use crate::script::error::throw;

/// A map whose keys are known.
#[derive(Clone, Debug)]
pub struct Record {
    fields: Map,
    of: &'static str,
}

impl Record {
    /// What `of` returns.
    pub(crate) fn new<const N: usize>(of: &'static str, fields: [(&str, Dynamic); N]) -> Self {
        Self { fields: fields.into_iter().map(|(key, value)| (key.into(), value)).collect(), of }
    }

    #[expect(clippy::unnecessary_box_returns, reason = "Rhai's errors are boxed")]
    fn unknown(&self, key: &str) -> Box<EvalAltResult> {
        let keys: Vec<&str> = self.fields.keys().map(rhai::Identifier::as_str).collect();
        let error = Error::new(Kind::NotFound, format!("what `{}` returns has no `{key}`", self.of));
        let error = match keys.iter().find(|known| key.len() > 2 && known.starts_with(&format!("{key}_"))) {
            Some(longer) => error.hint(format!("did you mean `{longer}`?")),
            None => with_nearest(error, key, keys.iter().copied()),
        };
        throw(error.hint(format!("it has {}", keys.join(", "))))
    }

    fn get(&self, key: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        self.fields.get(key).cloned().ok_or_else(|| self.unknown(key))
    }
}

/// The value with such maps as Rhai's own, to be compared and shown.
pub(crate) fn plain(value: &Dynamic) -> Dynamic {
    if let Some(record) = value.read_lock::<Record>() {
        return record.fields.clone().into();
    }
    match value.as_array_ref() {
        Ok(items) => items.iter().map(plain).collect::<Array>().into(),
        Err(_) => value.clone(),
    }
}

/// What Rhai offers for maps, for these; it is Rhai's own reference that documents it.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Record>("map")
        .register_indexer_get(|record: &mut Record, key: &str| record.get(key))
        .register_indexer_set(|record: &mut Record, key: &str, value: Dynamic| -> Result<(), Box<EvalAltResult>> {
            match record.fields.get_mut(key) {
                Some(field) => *field = value,
                None => return Err(record.unknown(key)),
            }
            Ok(())
        })
        .register_fn("get", |record: &mut Record, key: &str| record.fields.get(key).cloned().unwrap_or(Dynamic::UNIT))
        .register_fn("contains", |record: &mut Record, key: &str| record.fields.contains_key(key))
        .register_fn("contains_key", |record: &mut Record, key: &str| record.fields.contains_key(key))
        .register_fn("keys", |record: &mut Record| -> Array {
            record.fields.keys().map(|key| ImmutableString::from(key.as_str()).into()).collect()
        })
        .register_fn("values", |record: &mut Record| -> Array { record.fields.values().cloned().collect() })
        .register_fn("len", |record: &mut Record| i64::try_from(record.fields.len()).unwrap_or(i64::MAX))
        .register_fn("is_empty", |record: &mut Record| record.fields.is_empty())
        .register_fn("to_map", |record: &mut Record| record.fields.clone())
        .register_fn("+", |map: Map, record: Record| -> Map { map.into_iter().chain(record.fields).collect() })
        .register_fn("+", |record: Record, map: Map| -> Map { record.fields.into_iter().chain(map).collect() })
        .register_fn("to_json", |record: &mut Record| rhai::format_map_as_json(&record.fields))
        .register_fn("to_string", |record: &mut Record| Dynamic::from(record.fields.clone()).to_string())
        .register_fn("to_debug", |record: &mut Record| format!("{:?}", Dynamic::from(record.fields.clone())));
    for (operator, negated) in [("==", false), ("!=", true)] {
        engine
            .register_fn(operator, move |a: Record, b: Record| same_text(&a.fields, &b.fields) != negated)
            .register_fn(operator, move |a: Record, b: Map| same_text(&a.fields, &b) != negated)
            .register_fn(operator, move |a: Map, b: Record| same_text(&a, &b.fields) != negated)
            .register_fn(operator, move |a: Record, (): ()| {
                let _ = a;
                negated
            })
            .register_fn(operator, move |(): (), a: Record| {
                let _ = a;
                negated
            })
            .register_fn(operator, |a: Record, b: i64| never(&a, &b.into()))
            .register_fn(operator, |a: Record, b: &str| never(&a, &b.into()))
            .register_fn(operator, |a: Record, b: bool| never(&a, &b.into()))
            .register_fn(operator, |a: i64, b: Record| never(&b, &a.into()))
            .register_fn(operator, |a: &str, b: Record| never(&b, &a.into()))
            .register_fn(operator, |a: bool, b: Record| never(&b, &a.into()));
    }
}

/// Fields are numbers, texts and truths: they are the same when they read the same.
fn same_text(a: &Map, b: &Map) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// A map is never equal to what is none: whoever compares them means one of its fields.
fn never(record: &Record, other: &Dynamic) -> Result<bool, Box<EvalAltResult>> {
    let what = super::value::type_of(other);
    let field = match (other.is_int(), other.is_string()) {
        (true, _) if record.fields.contains_key("status") => "status",
        (_, true) if record.fields.contains_key("stdout") => "stdout",
        _ => "ok",
    };
    let error =
        Error::new(Kind::InvalidArgument, format!("what `{}` returns is a map, which never equals {what}", record.of));
    Err(throw(error.hint(format!("compare one of its fields: `.{field}`"))))
}
