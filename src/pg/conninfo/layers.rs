//! The layers a setting can come from, and reading typed values out of them.
//!
//! ```text
//!   connection string  >  service file  >  PG* variables  >  defaults
//! ```
//!
//! As in libpq, a layer that gives an empty value hides the layers below it, and an empty value means the default.

use std::collections::BTreeMap;
use std::time::Duration;

use super::environment::Environment;
use super::error::{ConninfoError, Layer, Origin, ParseError};
use super::keywords::{self, KEYWORDS, Support};
use super::parse::Found;
use crate::pg::service;

/// Every setting that some layer gives, with where it came from.
#[derive(Default)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, (String, Layer)>,
}

impl Layers {
    /// Puts the layers on top of each other and refuses what cannot be honoured.
    pub(super) fn new(
        explicit: Vec<Found>,
        environment: &Environment,
    ) -> Result<Self, ConninfoError> {
        let mut layers = Self::default();
        // The last one of a repeated keyword wins, as in libpq.
        for found in explicit {
            layers
                .values
                .insert(found.keyword.name, (found.value, Layer::Explicit));
        }
        layers.add_service(environment)?;
        for keyword in KEYWORDS {
            if let Some(value) = keyword
                .variable
                .and_then(|variable| environment.variable(variable))
            {
                layers.add(keyword.name, value, Layer::Variable);
            }
        }
        // The predecessor of PGSSLMODE; libpq still reads it.
        if environment
            .variable("PGREQUIRESSL")
            .is_some_and(|value| value.starts_with('1'))
        {
            layers.add("sslmode", "require", Layer::Variable);
        }
        layers.refuse_unsupported()?;
        Ok(layers)
    }

    fn add(&mut self, keyword: &'static str, value: &str, layer: Layer) {
        self.values
            .entry(keyword)
            .or_insert_with(|| (value.to_owned(), layer));
    }

    fn add_service(&mut self, environment: &Environment) -> Result<(), ConninfoError> {
        let own = |keyword, variable| {
            self.values
                .get(keyword)
                .map(|(value, _)| value.as_str())
                .or_else(|| environment.variable(variable))
        };
        let Some(service) = own("service", "PGSERVICE").filter(|service| !service.is_empty())
        else {
            return Ok(());
        };
        let file = own("servicefile", "PGSERVICEFILE");
        for (name, value) in service::settings(service, file, environment)? {
            let keyword = keywords::find(&name).ok_or_else(|| ParseError::unknown(&name, false))?;
            self.add(keyword.name, &value, Layer::Service);
        }
        Ok(())
    }

    fn refuse_unsupported(&self) -> Result<(), ConninfoError> {
        for keyword in KEYWORDS {
            let Support::Only(harmless, because) = keyword.support else {
                continue;
            };
            let Some((value, layer)) = self.get(keyword.name) else {
                continue;
            };
            if harmless.contains(&value) {
                continue;
            }
            let is_secret = ["password", "secret", "scram"]
                .iter()
                .any(|word| keyword.name.contains(word));
            return Err(ConninfoError::Unsupported {
                setting: Origin {
                    keyword: keyword.name,
                    layer,
                },
                value: if is_secret { "[hidden]" } else { value }.to_owned(),
                because,
            });
        }
        Ok(())
    }

    /// What a client program is to be told as it is: everything but what says where and as whom to connect, which depends
    /// on the host that answered. What we ignore is not passed on either: `PGCLIENTENCODING` would change a dump.
    pub(super) fn child_settings(&self) -> Vec<(&'static str, String)> {
        const DEPENDS_ON_THE_HOST: [&str; 12] = [
            "service",
            "servicefile",
            "user",
            "password",
            "passfile",
            "dbname",
            "host",
            "hostaddr",
            "port",
            "sslmode",
            "connect_timeout",
            "load_balance_hosts",
        ];
        KEYWORDS
            .iter()
            .filter(|keyword| keyword.support != Support::Ignored)
            .filter(|keyword| !DEPENDS_ON_THE_HOST.contains(&keyword.name))
            .filter_map(|keyword| Some((keyword.variable?, self.text(keyword.name)?.to_owned())))
            .collect()
    }

    /// What a later session needs besides to connect in the same way: by keyword where libpq has no variable.
    pub(super) fn later_settings(&self) -> Vec<(&'static str, String)> {
        const THESE: [&str; 9] = [
            "passfile",
            "connect_timeout",
            "load_balance_hosts",
            "fallback_application_name",
            "keepalives",
            "keepalives_idle",
            "keepalives_interval",
            "keepalives_count",
            "tcp_user_timeout",
        ];
        let these = KEYWORDS
            .iter()
            .filter(|keyword| THESE.contains(&keyword.name));
        let these = these.filter_map(|keyword| {
            let value = self.text(keyword.name)?.to_owned();
            Some((keyword.variable.unwrap_or(keyword.name), value))
        });
        these.collect()
    }

    /// A value that is not empty, and where it came from.
    pub(super) fn get(&self, keyword: &str) -> Option<(&str, Layer)> {
        self.values
            .get(keyword)
            .filter(|(value, _)| !value.is_empty())
            .map(|(value, layer)| (value.as_str(), *layer))
    }

    /// A value that is not empty.
    pub(super) fn text(&self, keyword: &str) -> Option<&str> {
        self.get(keyword).map(|(value, _)| value)
    }

    /// Where a keyword's value came from.
    pub(super) fn origin(&self, keyword: &'static str) -> Origin {
        Origin {
            keyword,
            layer: self.get(keyword).map_or(Layer::Default, |(_, layer)| layer),
        }
    }

    /// A value that must be one of a few words.
    pub(super) fn word<T>(
        &self,
        keyword: &'static str,
        from_word: fn(&str) -> Option<T>,
        expected: &'static str,
    ) -> Result<Option<T>, ConninfoError> {
        self.text(keyword)
            .map(|value| {
                from_word(value).ok_or_else(|| ConninfoError::Value {
                    setting: self.origin(keyword),
                    value: value.to_owned(),
                    expected,
                })
            })
            .transpose()
    }

    /// A whole number.
    pub(super) fn integer(&self, keyword: &'static str) -> Result<Option<i64>, ConninfoError> {
        self.word(keyword, |value| value.trim().parse().ok(), "a whole number")
    }

    /// A length of time; `None` is without limit, which libpq writes as 0 or less.
    pub(super) fn duration(
        &self,
        keyword: &'static str,
        unit: Duration,
        default: Option<Duration>,
    ) -> Result<Option<Duration>, ConninfoError> {
        Ok(match self.integer(keyword)? {
            None => default,
            Some(number) => u32::try_from(number)
                .ok()
                .filter(|number| *number > 0)
                .map(|number| unit * number),
        })
    }

    /// `0` or `1`.
    pub(super) fn switch(&self, keyword: &'static str) -> Result<Option<bool>, ConninfoError> {
        self.word(
            keyword,
            |value| match value {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            },
            "0 or 1",
        )
    }
}
