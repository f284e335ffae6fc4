-- One day of made-up visits, made by the server: visit numbers $first to $first + $visits - 1, each a visit with its pages.
-- Everything is a hash of the visit's number, so the same numbers give the same rows. One visit in ten is of somebody who
-- came before on that day. Pages are Zipf's: the n-th is seen 1/n as often as the first.
INSERT INTO events
(
    site_id, hour, time, kind, visitor_id, load_id, event_name, hostname, path, referrer_source, referrer, channel, utm_source,
    utm_medium, utm_campaign, click_id, country, language, timezone, browser, browser_version, os, os_version, device,
    screen_width_px, screen_height_px, engaged_ms, scroll_depth_percent, interactive, sequence, revenue_micros,
    revenue_currency, props, metrics, sample_weight, retention_class, batch_time, batch_id
)
WITH
    ['US', 'DE', 'GB', 'FR', 'IN', 'BR', 'JP', 'PL', 'CA', 'NL', 'ES', 'IT', 'AU', 'SE', 'CH', 'AT', 'BE', 'DK', 'NO', 'FI', 'CZ', 'PT',
     'IE', 'NZ', 'MX', 'AR', 'CL', 'CO', 'ZA', 'TR', 'RO', 'HU', 'GR', 'UA', 'IL', 'SG', 'KR', 'TW', 'TH', 'VN', 'ID', 'MY', 'PH', 'EG',
     'NG', 'KE', 'MA', 'PK', 'BD', 'LK', ''] AS countries,
    ['en-US', 'de-DE', 'en-GB', 'fr-FR', 'en-IN', 'pt-BR', 'ja-JP', 'pl-PL', 'en-CA', 'nl-NL', 'es-ES', 'it-IT'] AS languages,
    [('Chrome', '141.0', 'Windows', '10', 'desktop', 1920, 1080), ('Mobile Safari', '18.6', 'iOS', '18.6', 'mobile', 390, 844),
     ('Chrome Mobile', '141.0', 'Android', '10', 'mobile', 412, 915), ('Safari', '18.6', 'Mac OS X', '10.15', 'desktop', 1440, 900),
     ('Edge', '141.0', 'Windows', '10', 'desktop', 1536, 864), ('Firefox', '143.0', 'Linux', '', 'desktop', 1920, 1080),
     ('Samsung Internet', '28.0', 'Android', '10', 'mobile', 384, 832), ('Chrome', '140.0', 'Mac OS X', '10.15', 'desktop', 1728, 1117),
     ('Firefox', '143.0', 'Windows', '10', 'desktop', 2560, 1440), ('Opera', '122.0', 'Windows', '10', 'desktop', 1366, 768),
     ('Safari', '17.6', 'iOS', '17.6', 'tablet', 820, 1180), ('Chrome', '139.0', 'Chrome OS', '14541', 'desktop', 1366, 768)] AS agents,
    [('', '', 'direct'), ('Google', 'www.google.com/', 'organic_search'), ('', '', 'direct'),
     ('Facebook', 'l.facebook.com/l.php', 'organic_social'), ('Bing', 'www.bing.com/search', 'organic_search'),
     ('Reddit', 'www.reddit.com/r/programming/comments/1abcde', 'organic_social'),
     ('news.ycombinator.com', 'news.ycombinator.com/item', 'referral'), ('DuckDuckGo', 'duckduckgo.com/', 'organic_search'),
     ('GitHub', 'github.com/', 'referral'), ('LinkedIn', 'www.linkedin.com/', 'organic_social'), ('Twitter', 't.co/', 'organic_social'),
     ('YouTube', 'www.youtube.com/', 'organic_video'), ('Wikipedia', 'en.wikipedia.org/', 'referral'),
     ('ChatGPT', 'chatgpt.com/', 'ai_assistant')] AS sources,
    [('google', 'cpc', 'brand-2026-autumn', 'gclid', 'paid_search'), ('newsletter', 'email', 'weekly-47', '', 'email'),
     ('facebook', 'paid_social', 'retargeting-eu', '', 'paid_social')] AS campaigns,
    ['blog', 'products', 'docs', 'help'] AS sections
SELECT
    site_id, toStartOfHour(at) AS hour, at, what, visitor, sipHash64(visit, page),
    if(what = 'custom', ['Signup', 'Add to cart', 'Outbound Link: Click', 'File Download', 'Purchase'][1 + chance % 5], '') AS name,
    concat('www.shop-', toString(site_id), '.example'),
    if(rank = 0, '/', concat('/', sections[1 + rank % 4], '/', toString(rank), '-a-page-about-something')),
    if(page = 0, source.1, ''), if(page = 0, source.2, ''),
    if(page = 0, if(has_campaign, campaign.5, source.3), 'direct'),
    if(page = 0 AND has_campaign, campaign.1, ''), if(page = 0 AND has_campaign, campaign.2, ''),
    if(page = 0 AND has_campaign, campaign.3, ''), if(page = 0 AND has_campaign, campaign.4, ''),
    country, language, 'Europe/Berlin', agent.1, agent.2, agent.3, agent.4, agent.5, agent.6, agent.7,
    if(what = 'engagement', toUInt32(1000 + exp((chance % 65536) / 65536 * 4.5) * 1000), 0),
    if(what = 'engagement', chance % 101, 255), what IN ('pageview', 'custom'), 0,
    if(name = 'Purchase', 1000000 * (chance % 200), 0), if(name = 'Purchase', 'EUR', ''),
    if(what = 'custom', map('plan', ['free', 'pro'][1 + chance % 2]), map()),
    multiIf(
        what = 'vitals',
        map('lcp_ms', toFloat32(exp(6 + 1.2 * one + 0.6 * two)), 'inp_ms', toFloat32(8 * (1 + chance % 40)),
            'cls', toFloat32(0.3 * one * two), 'fcp_ms', toFloat32(exp(5.6 + 1.2 * one + 0.6 * two)),
            'ttfb_ms', toFloat32(exp(4.5 + 2 * two))),
        what = 'timings',
        map('dns_ms', toFloat32(chance % 30), 'connect_ms', toFloat32(chance % 90), 'tls_ms', toFloat32(chance % 60),
            'ttfb_ms', toFloat32(exp(4.5 + 2 * two)), 'download_ms', toFloat32(exp(3 + 3 * one)),
            'dom_interactive_ms', toFloat32(exp(5 + 2 * one)), 'dom_content_loaded_ms', toFloat32(exp(5.2 + 2 * one)),
            'load_ms', toFloat32(exp(6 + 2 * one)), 'transfer_bytes', toFloat32(10000 + chance % 900000)),
        map()),
    1, 1, at, ''
FROM
(
    SELECT
        visit, site_id, visitor, country, language, agent, source, has_campaign, campaign, intDiv(each, 5) AS page,
        CAST(each % 5 + 1 AS Enum8('pageview' = 1, 'custom' = 2, 'engagement' = 3, 'vitals' = 4, 'timings' = 5)) AS what,
        sipHash64(visit, each, 9) AS chance, (chance % 1000) / 1000 AS one, (intDiv(chance, 1048576) % 1000) / 1000 AS two,
        fromUnixTimestamp64Milli(
            toInt64(least(starts_ms + page * 45000 + (each % 5) * 9000 + chance % 9000, $until_ms - 1)), 'UTC') AS at,
        toUInt32(floor(exp(((sipHash64(visit, page, 3) % 1000003) / 1000003) * log(paths))) - 1) AS rank
    FROM
    (
        SELECT
            number AS visit, if(sipHash64(visit, 1) % 10 = 0 AND visit > 40, visit - 1 - sipHash64(visit, 2) % 40, visit) AS who,
            sipHash64(who, 3) AS place,
            $site AS site_id,
            if(site_id < 2 OR site_id > 999, 200000, 3000) AS paths, sipHash64(who, $from_ms, 77) AS visitor, sipHash64(visit, 5) AS moment,
            toInt64($from_ms) + toInt64(((moment % intDiv($until_ms - $from_ms, 2)) + (intDiv(moment, 4294967296) % intDiv($until_ms - $from_ms, 2)))) AS starts_ms,
            toUInt8(floor(exp(((sipHash64(who, 6) % 100003) / 100003) * log(52))) - 1) AS country_rank,
            countries[1 + country_rank] AS country, languages[1 + least(country_rank, 11)] AS language,
            agents[1 + toUInt32(floor(exp(((sipHash64(who, 7) % 100003) / 100003) * log(12.99))) - 1)] AS agent,
            sources[1 + toUInt32(floor(exp(((sipHash64(visit, 8) % 100003) / 100003) * log(14.99))) - 1)] AS source,
            sipHash64(visit, 10) % 100 < 8 AS has_campaign, campaigns[1 + sipHash64(visit, 11) % 3] AS campaign,
            1 + least(11, toUInt32(floor(-log((1 + sipHash64(visit, 12) % 100003) / 100004) * 1.45))) AS pages
        FROM numbers($first, $visits)
    )
    -- Of each page there is a view; 6 % have a custom event, 30 % report engagement, 7.5 % each vitals and timings.
    ARRAY JOIN arrayFilter(each -> each % 5 = 0 OR sipHash64(visit, each, 13) % 1000 < [0, 60, 300, 75, 75][1 + each % 5], range(pages * 5)) AS each
)
