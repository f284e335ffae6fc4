//! What every connection of a process shares, and how it is made from settings.
use super::client_address::{ProxyTrust, TrustError};
use super::endpoint::{AliasError, Endpoint, EndpointTable};
use super::limits::Limits;
use std::collections::BTreeMap;

/// What every connection of a process shares.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Sizes, counts and deadlines.
    pub limits: Limits,
    /// Which paths take hits.
    pub endpoints: EndpointTable,
    /// Whose word about the client's address is believed.
    pub trust: ProxyTrust,
}

/// The settings as an operator writes them; JSON with these names. What is left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// Overrides of single limits.
    pub limits: Limits,
    /// Networks in CIDR notation whose word about the client is believed.
    pub trusted_proxies: Vec<String>,
    /// The header in which they put the client's address.
    pub forwarded_header: String,
    /// Whether their connections open with a PROXY header.
    pub proxy_protocol: bool,
    /// Further paths of endpoints: path → `event`, `send`, `batch` or `gif`.
    pub endpoint_aliases: BTreeMap<String, String>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
            forwarded_header: "X-Forwarded-For".to_owned(),
            proxy_protocol: false,
            endpoint_aliases: BTreeMap::new(),
        }
    }
}

/// A setting that cannot be meant. Fatal at start; the text names the setting's value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsError {
    /// `trusted_proxies` or `forwarded_header`.
    Trust(TrustError),
    /// A path of `endpoint_aliases`.
    Alias(AliasError),
    /// An endpoint of `endpoint_aliases` that does not exist.
    Endpoint(String),
    /// A limit with which no request could be handled.
    Limit(&'static str),
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SettingsError::Trust(error) => error.fmt(formatter),
            SettingsError::Alias(error) => error.fmt(formatter),
            SettingsError::Endpoint(name) => write!(formatter, "{name:?} is not one of event, send, batch, gif"),
            SettingsError::Limit(name) => write!(formatter, "limits.{name} must be over 0"),
        }
    }
}

impl std::error::Error for SettingsError {}

impl TryFrom<&HttpOptions> for HttpSettings {
    type Error = SettingsError;

    fn try_from(options: &HttpOptions) -> Result<HttpSettings, SettingsError> {
        let limits = options.limits;
        let must_be_positive = [
            ("max_request_line_bytes", limits.max_request_line_bytes),
            ("max_head_bytes", limits.max_head_bytes),
            ("max_headers", limits.max_headers),
            ("max_pipelined", limits.max_pipelined),
            ("max_buffered_bytes", limits.max_buffered_bytes),
        ];
        if let Some((name, _)) = must_be_positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(SettingsError::Limit(name));
        }
        let mut endpoints = EndpointTable::default();
        for (path, name) in &options.endpoint_aliases {
            let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.name() == name);
            let endpoint = endpoint.ok_or_else(|| SettingsError::Endpoint(name.clone()))?;
            endpoints.add_alias(path, endpoint).map_err(SettingsError::Alias)?;
        }
        let trust = ProxyTrust::new(&options.trusted_proxies, &options.forwarded_header, options.proxy_protocol);
        Ok(HttpSettings { limits, endpoints, trust: trust.map_err(SettingsError::Trust)? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings(json: &str) -> Result<HttpSettings, SettingsError> {
        HttpSettings::try_from(&serde_json::from_str::<HttpOptions>(json).unwrap())
    }

    #[test]
    fn options_become_settings() {
        let settings = settings(
            r#"{"limits":{"max_headers":64},"trusted_proxies":["10.0.0.0/8"],"forwarded_header":"CF-Connecting-IP",
                "endpoint_aliases":{"/p":"event"}}"#,
        )
        .unwrap();
        assert_eq!(
            (settings.limits.max_headers, settings.limits.max_head_bytes),
            (64, Limits::default().max_head_bytes)
        );
        assert_eq!(settings.endpoints.lookup(b"/p"), Some(Endpoint::Event));
        assert!(settings.trust.is_trusted("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        for json in [
            r#"{"trusted_proxies":["all"]}"#,
            r#"{"forwarded_header":"Forwarded"}"#,
            r#"{"endpoint_aliases":{"p":"event"}}"#,
            r#"{"endpoint_aliases":{"/p":"hit"}}"#,
            r#"{"endpoint_aliases":{"/api/event":"gif"}}"#,
            r#"{"limits":{"max_pipelined":0}}"#,
        ] {
            let refused = settings(json).unwrap_err();
            assert!(!refused.to_string().is_empty(), "{json}");
        }
        assert!(serde_json::from_str::<HttpOptions>(r#"{"limit":{}}"#).is_err());
    }
}
