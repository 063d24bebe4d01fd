//! The script's own arguments: `--var k=v`, and `--k v`, `--k=v`, `--flag` after the script.

use std::collections::HashMap;

use rhai::Dynamic;

use crate::error::{Error, Kind, Result};
use crate::model::suggest;

/// What the command line gives to the script, and what the script has asked for.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    given: HashMap<String, String>,
    /// Words that belong to no name.
    rest: Vec<String>,
    asked: Vec<String>,
    /// Whether the script takes the words without a name, too.
    takes_words: bool,
}

impl Arguments {
    /// Reads `--var` pairs and the words after the script.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a `--var` without `=`, or a name given twice.
    pub(crate) fn parse(vars: &[String], words: &[String]) -> Result<Self> {
        let mut arguments = Self::default();
        for var in vars {
            let Some((name, value)) = var.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Error::new(Kind::InvalidArgument, format!("`--var {var}` is not `name=value`")));
            };
            arguments.set(name, value)?;
        }
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            match word.strip_prefix("--").filter(|name| !name.is_empty()) {
                None => arguments.rest.push(word.clone()),
                Some(name) => match name.split_once('=') {
                    Some((name, value)) => arguments.set(name, value)?,
                    None => {
                        // A word that begins with a dash is a value only if it is a number: `--offset -3`.
                        let value = words.next_if(|next| !next.starts_with("--") || next.parse::<f64>().is_ok());
                        arguments.set(name, value.map_or("true", String::as_str))?;
                    }
                },
            }
        }
        Ok(arguments)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match self.given.insert(name.to_owned(), value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(Error::new(Kind::InvalidArgument, format!("the argument `{name}` is given twice"))),
        }
    }

    /// The words that belong to no name; from now on they have a taker.
    pub(crate) fn words(&mut self) -> Vec<String> {
        self.takes_words = true;
        self.rest.clone()
    }

    /// Says that a script takes an argument of this name.
    pub(crate) fn announce(&mut self, name: &str) {
        self.asked.push(name.to_owned());
    }

    /// The value of an argument, read as the type of `default`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when it does not read as that type.
    pub(crate) fn take(&mut self, name: &str, default: &Dynamic) -> Result<Dynamic> {
        self.announce(name);
        let Some(text) = self.given.get(name) else { return Ok(default.clone()) };
        let wrong = |what: &str| Error::new(Kind::InvalidArgument, format!("`--{name}` is {what}, not `{text}`"));
        if default.is_int() {
            return text.parse::<i64>().map(Dynamic::from_int).map_err(|_| wrong("an integer"));
        }
        if default.is_float() {
            return text.parse::<f64>().map(Dynamic::from_float).map_err(|_| wrong("a number"));
        }
        if default.is_bool() {
            return match text.as_str() {
                "true" | "yes" | "1" => Ok(true.into()),
                "false" | "no" | "0" => Ok(false.into()),
                _ => Err(wrong("true or false")),
            };
        }
        Ok(text.clone().into())
    }

    /// What was given and never asked for, with the name that was perhaps meant: a typing mistake must not pass silently.
    #[must_use]
    pub(crate) fn unused(&self) -> Vec<String> {
        let near = |name: &str| match suggest::nearest(name, self.asked.iter().map(String::as_str)) {
            Some(near) => format!("the script has no argument `--{name}`: did you mean `--{near}`?"),
            None => format!("the script has no argument `--{name}`"),
        };
        let mut all: Vec<String> =
            self.given.keys().filter(|name| !self.asked.contains(name)).map(|name| near(name)).collect();
        all.sort();
        let rest = self.rest.iter().filter(|_| !self.takes_words);
        all.extend(rest.map(|word| format!("the script takes no argument `{word}`")));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(vars: &[&str], words: &[&str]) -> Arguments {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        Arguments::parse(&own(vars), &own(words)).unwrap()
    }

    #[test]
    fn the_default_decides_the_type() {
        let mut arguments = parse(&["a=1"], &["--b", "2", "--c=x", "--flag", "--d", "-3", "stray"]);
        assert_eq!(arguments.take("a", &Dynamic::from_int(0)).unwrap().as_int(), Ok(1));
        assert_eq!(arguments.take("b", &"".into()).unwrap().into_string().unwrap(), "2");
        assert_eq!(arguments.take("c", &"".into()).unwrap().into_string().unwrap(), "x");
        assert_eq!(arguments.take("flag", &false.into()).unwrap().as_bool(), Ok(true));
        assert_eq!(arguments.take("d", &Dynamic::from_int(0)).unwrap().as_int(), Ok(-3));
        assert_eq!(arguments.take("e", &Dynamic::from_int(7)).unwrap().as_int(), Ok(7));
        assert_eq!(arguments.unused(), ["the script takes no argument `stray`"]);
        assert_eq!(arguments.words(), ["stray"]);
        assert!(arguments.unused().is_empty(), "it has taken them");
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(
            parse(&["a=x"], &[]).take("a", &Dynamic::from_int(0)).unwrap_err().to_string(),
            "`--a` is an integer, not `x`"
        );
        assert!(Arguments::parse(&["a".into()], &[]).is_err());
        assert!(Arguments::parse(&["a=1".into(), "a=2".into()], &[]).is_err());
        let mut arguments = parse(&[], &["--subnt", "x"]);
        let _ = arguments.take("subnet", &"".into());
        assert_eq!(arguments.unused(), ["the script has no argument `--subnt`: did you mean `--subnet`?"]);
    }
}
