//! The commands of iptables: what a call does, and to which chain.

/// What a call of iptables does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `-A CHAIN`
    Append {
        /// The chain.
        chain: String,
    },
    /// `-I CHAIN [NUMBER]`
    Insert {
        /// The chain.
        chain: String,
        /// From 1, which is also meant when it is absent.
        position: u32,
    },
    /// `-D CHAIN …`
    Delete {
        /// The chain.
        chain: String,
        /// Which rule.
        rule: RuleRef,
    },
    /// `-R CHAIN NUMBER`
    Replace {
        /// The chain.
        chain: String,
        /// From 1.
        position: u32,
    },
    /// `-C CHAIN`
    Check {
        /// The chain.
        chain: String,
    },
    /// `-P CHAIN TARGET`
    Policy {
        /// The chain.
        chain: String,
        /// `ACCEPT` or `DROP`.
        target: String,
    },
    /// `-N CHAIN`
    NewChain {
        /// The chain.
        chain: String,
    },
    /// `-X [CHAIN]`
    DeleteChain {
        /// The chain; all empty ones when absent.
        chain: Option<String>,
    },
    /// `-E OLD NEW`
    RenameChain {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// `-F [CHAIN]`
    Flush {
        /// The chain; all when absent.
        chain: Option<String>,
    },
    /// `-Z [CHAIN [NUMBER]]`
    Zero {
        /// The chain; all when absent.
        chain: Option<String>,
        /// From 1; all when absent.
        number: Option<u32>,
    },
    /// `-L [CHAIN [NUMBER]]`, a question
    List {
        /// The chain; all when absent.
        chain: Option<String>,
        /// From 1; all when absent.
        number: Option<u32>,
    },
    /// `-S [CHAIN [NUMBER]]`, a question
    ListRules {
        /// The chain; all when absent.
        chain: Option<String>,
        /// From 1; all when absent.
        number: Option<u32>,
    },
}

/// Which rule `-D` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleRef {
    /// The one that the spec describes.
    Spec,
    /// The one at a place, from 1.
    Number(u32),
}

impl Command {
    /// Its letter: `A` for `-A`.
    #[must_use]
    pub fn letter(&self) -> char {
        match self {
            Self::Append { .. } => 'A',
            Self::Insert { .. } => 'I',
            Self::Delete { .. } => 'D',
            Self::Replace { .. } => 'R',
            Self::Check { .. } => 'C',
            Self::Policy { .. } => 'P',
            Self::NewChain { .. } => 'N',
            Self::DeleteChain { .. } => 'X',
            Self::RenameChain { .. } => 'E',
            Self::Flush { .. } => 'F',
            Self::Zero { .. } => 'Z',
            Self::List { .. } => 'L',
            Self::ListRules { .. } => 'S',
        }
    }

    /// The chain that it names.
    #[must_use]
    pub fn chain(&self) -> Option<&str> {
        match self {
            Self::Append { chain }
            | Self::Insert { chain, .. }
            | Self::Delete { chain, .. }
            | Self::Replace { chain, .. }
            | Self::Check { chain }
            | Self::Policy { chain, .. }
            | Self::NewChain { chain }
            | Self::RenameChain { from: chain, .. } => Some(chain),
            Self::DeleteChain { chain }
            | Self::Flush { chain }
            | Self::Zero { chain, .. }
            | Self::List { chain, .. }
            | Self::ListRules { chain, .. } => chain.as_deref(),
        }
    }

    /// Whether it only asks.
    #[must_use]
    pub fn is_query(&self) -> bool {
        matches!(self, Self::Check { .. } | Self::List { .. } | Self::ListRules { .. })
    }

    /// Whether the rest of the words describes a rule.
    pub(super) fn has_spec(&self) -> bool {
        matches!(
            self,
            Self::Append { .. }
                | Self::Insert { .. }
                | Self::Replace { .. }
                | Self::Check { .. }
                | Self::Delete { rule: RuleRef::Spec, .. }
        )
    }

    /// The words of the command: `-I INPUT 3`.
    pub(super) fn words(&self) -> Vec<String> {
        let mut out = vec![format!("-{}", self.letter())];
        out.extend(self.chain().map(str::to_owned));
        match self {
            Self::Insert { position, .. } | Self::Replace { position, .. } => out.push(position.to_string()),
            Self::Delete { rule: RuleRef::Number(number), .. } => out.push(number.to_string()),
            Self::Policy { target, .. } => out.push(target.clone()),
            Self::RenameChain { to, .. } => out.push(to.clone()),
            Self::Zero { number, .. } | Self::List { number, .. } | Self::ListRules { number, .. } => {
                out.extend(number.map(|number| number.to_string()));
            }
            _ => {}
        }
        out
    }
}
