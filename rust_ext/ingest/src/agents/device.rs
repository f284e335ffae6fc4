//! The class of device, from marks in the agent. uap knows brands and models, not classes.
use crate::record::Device;

/// Marks in the order in which they decide; the first one present wins. Televisions and consoles come first: their agents also
/// name Android, Linux or Windows.
const MARKS: [(&str, Device); 60] = [
    ("SmartTV", Device::Tv),
    ("SMART-TV", Device::Tv),
    ("Smart TV", Device::Tv),
    ("Smart-TV", Device::Tv),
    ("HbbTV", Device::Tv),
    ("AppleTV", Device::Tv),
    ("Apple TV", Device::Tv),
    ("GoogleTV", Device::Tv),
    ("Android TV", Device::Tv),
    ("BRAVIA", Device::Tv),
    ("Bravia", Device::Tv),
    ("; AFT", Device::Tv),
    ("CrKey", Device::Tv),
    ("Roku", Device::Tv),
    ("NetCast", Device::Tv),
    ("Web0S", Device::Tv),
    ("webOS.TV", Device::Tv),
    ("VIERA", Device::Tv),
    ("Viera", Device::Tv),
    ("PhilipsTV", Device::Tv),
    ("InettvBrowser", Device::Tv),
    ("NETTV", Device::Tv),
    ("DTV", Device::Tv),
    (" TV ", Device::Tv),
    (" TV)", Device::Tv),
    ("PlayStation", Device::Console),
    ("PLAYSTATION", Device::Console),
    ("Xbox", Device::Console),
    ("Nintendo", Device::Console),
    ("watchOS", Device::Wearable),
    ("Apple Watch", Device::Wearable),
    ("Wear OS", Device::Wearable),
    ("SM-R", Device::Wearable),
    ("iPad", Device::Tablet),
    ("Tablet", Device::Tablet),
    ("PlayBook", Device::Tablet),
    ("Kindle", Device::Tablet),
    ("Silk/", Device::Tablet),
    ("iPhone", Device::Mobile),
    ("iPod", Device::Mobile),
    ("Windows Phone", Device::Mobile),
    ("IEMobile", Device::Mobile),
    ("Opera Mini", Device::Mobile),
    ("Opera Mobi", Device::Mobile),
    ("BlackBerry", Device::Mobile),
    ("BB10", Device::Mobile),
    ("Symbian", Device::Mobile),
    ("KAIOS", Device::Mobile),
    ("MIDP", Device::Mobile),
    ("Nokia", Device::Mobile),
    ("Mobile", Device::Mobile),
    ("UCWEB", Device::Mobile),
    // An Android that does not say Mobile is a tablet, by Google's own rule.
    ("Android", Device::Tablet),
    ("Windows", Device::Desktop),
    ("Macintosh", Device::Desktop),
    ("Mac OS X", Device::Desktop),
    ("CrOS", Device::Desktop),
    ("X11", Device::Desktop),
    ("Linux", Device::Desktop),
    ("BSD", Device::Desktop),
];

/// The class of device that the agent names.
pub(super) fn class(agent: &[u8]) -> Device {
    let found = MARKS.iter().find(|(mark, _)| memchr::memmem::find(agent, mark.as_bytes()).is_some());
    found.map_or(Device::Unknown, |(_, device)| *device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (agent, device) in [
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", Device::Desktop),
            ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)", Device::Desktop),
            ("Mozilla/5.0 (Linux; Android 10; K) Chrome/1.0 Mobile Safari/537.36", Device::Mobile),
            ("Mozilla/5.0 (Linux; Android 10; K) Chrome/1.0 Safari/537.36", Device::Tablet),
            ("Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) Mobile/15E148", Device::Tablet),
            ("Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7233) Chrome/1.0 Mobile Safari/537.36", Device::Tv),
            ("Mozilla/5.0 (Linux; Tizen 6.5; SMART-TV) Version/6.5", Device::Tv),
            ("Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15", Device::Console),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) Edge/44", Device::Console),
            ("Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1) Mobile", Device::Mobile),
            ("something", Device::Unknown),
        ] {
            assert_eq!(class(agent.as_bytes()), device, "{agent}");
        }
    }
}
