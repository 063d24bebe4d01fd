//! Programs of the script's own as ops: their words, how they are started, and what undoes them.

use super::{Command, Op, Tool, Undo, Where};

/// How a program is started: each of these becomes words of `env` and `setpriv` in front of its own, so that a plan, a journal and an emitted script
/// say all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Variables beside those that it has anyway.
    pub env: Vec<(String, String)>,
    /// The folder that it starts in.
    pub cwd: Option<String>,
    /// Whom it runs as.
    pub user: Option<User>,
}

/// A user of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The number of the first group.
    pub gid: u32,
    /// The home folder.
    pub home: String,
}

impl User {
    /// Reads a line of passwd(5): `name:x:uid:gid:comment:home:shell`.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let mut fields = line.trim_end().split(':');
        let name = fields.next()?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { name, uid, gid, home: fields.nth(1)?.to_owned() })
    }
}

impl Launch {
    /// The words that start a program so.
    #[must_use]
    pub(crate) fn words(&self, own: &[String]) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(user) = &self.user {
            words.push("setpriv".to_owned());
            words.extend([format!("--reuid={}", user.uid), format!("--regid={}", user.gid), "--init-groups".into()]);
        }
        let of_user = self.user.iter().flat_map(|user| {
            [("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name)]
                .map(|(name, value)| format!("{name}={value}"))
        });
        let variables: Vec<String> =
            of_user.chain(self.env.iter().map(|(name, value)| format!("{name}={value}"))).collect();
        if self.cwd.is_some() || !variables.is_empty() {
            words.push("env".to_owned());
            words.extend(self.cwd.iter().map(|folder| format!("--chdir={folder}")));
            words.extend(variables);
        }
        words.extend(own.iter().cloned());
        words
    }
}

/// A program of the script's own.
#[must_use]
pub(crate) fn command(netns: &Where, words: &[String]) -> Command {
    Command::new(Tool::Own, netns, words.iter().cloned())
}

/// A program that changes something, with the one that takes it back.
#[must_use]
pub(crate) fn run(netns: &Where, words: &[String], stdin: Option<&str>, undo: &[String]) -> Op {
    let program = Command { stdin: stdin.map(str::to_owned), ..command(netns, words) };
    Op::new(program, Undo::by(command(netns, undo)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::{check, words};

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        let op = run(&red, &words("touch /run/x"), None, &words("rm /run/x"));
        check(&op, "ip netns exec red touch /run/x", "ip netns exec red rm /run/x");
        let op = run(&Where::Host, &words("tee /run/x"), Some("a b"), &words("rm /run/x"));
        check(&op, "printf %s 'a b' | tee /run/x", "rm /run/x");
        assert!(op.is_raw(), "only its user knows what it does");
        assert_eq!(command(&Where::Host, &words("true")).line(), "true");
    }

    #[test]
    fn how_it_is_started_stands_in_its_words() {
        let own = words("make all");
        assert_eq!(Launch::default().words(&own), own);
        let user = User::read("web:x:33:44:Web,,,:/var/www:/bin/sh\n").unwrap();
        let launch = Launch { env: vec![("A".into(), "b c".into())], cwd: Some("/tmp".into()), user: Some(user) };
        assert_eq!(
            super::super::quote(&launch.words(&own)),
            "setpriv --reuid=33 --regid=44 --init-groups env --chdir=/tmp HOME=/var/www USER=web LOGNAME=web 'A=b c' make all"
        );
        assert_eq!(Launch { user: None, ..launch }.words(&own).join(" "), "env --chdir=/tmp A=b c make all");
        assert_eq!(User::read("web:x:-1:44::/:/bin/sh"), None);
    }
}
