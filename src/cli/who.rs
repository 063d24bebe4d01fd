//! Who runs netwright, by name.

use std::path::Path;

use crate::files;
use crate::op::program::User;

/// The user who logged in, whoever they became since; the kernel keeps it.
const LOGIN: &str = "/proc/self/loginuid";

/// Who runs this: the user behind sudo or doas, else the one who logged in, else that of this process.
pub(super) fn caller() -> String {
    let known = |name: &str| std::env::var(name).ok().filter(|user| !user.is_empty());
    let behind = known("SUDO_USER").or_else(|| known("DOAS_USER"));
    behind.unwrap_or_else(|| {
        let login = std::fs::read_to_string(LOGIN).ok().and_then(|text| logged_in(&text));
        let uid = login.unwrap_or_else(|| rustix::process::getuid().as_raw());
        // A user of a directory (LDAP) is in no file of this machine.
        name_in(&passwd(), uid).or_else(|| known("USER")).unwrap_or_else(|| uid.to_string())
    })
}

/// A user as a run of any version names it, by name: earlier ones wrote the number down where nothing else was known.
pub(super) fn named(user: &str) -> String {
    match user.parse() {
        Ok(uid) => name_in(&passwd(), uid).unwrap_or_else(|| format!("uid {uid}")),
        Err(_) => user.to_owned(),
    }
}

/// The number in `loginuid`; the highest stands for nobody.
fn logged_in(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

fn passwd() -> String {
    String::from_utf8_lossy(&files::read_ordinary(Path::new("/etc/passwd")).unwrap_or_default()).into_owned()
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    let user = passwd.lines().filter_map(User::read).find(|user| user.uid == uid)?;
    Some(user.name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_where_the_machine_knows_it() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\n# a comment\nbroken:x:7\n+::::::\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        assert_eq!(name_in(passwd, 0).as_deref(), Some("root"));
        assert_eq!(name_in(passwd, 1000).as_deref(), Some("anna"));
        assert_eq!((name_in(passwd, 7), name_in("", 0)), (None, None));
        assert_eq!(named("anna"), "anna");
        assert_eq!(named("4000000001"), "uid 4000000001");
    }

    #[test]
    fn nobody_logged_in_is_no_user() {
        assert_eq!(logged_in("1000"), Some(1000));
        assert_eq!(logged_in("4294967295\n"), None);
        assert_eq!(logged_in(""), None);
    }
}
