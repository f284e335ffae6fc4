-- The demo's events of some days: a day's visits, the pages of each visit, and what each page sends. Every draw is a hash
-- of the visit's number, so the events of a day are always the same, and a day can be filled up to any moment and on from
-- there. days: (start ms, end ms, day number, visits, shares of spike, sale, paid social and newsletter, slow pictures,
-- slow clicks); shares in the lists are running sums.
INSERT INTO events
(
    site_id, hour, time, kind, visitor_id, load_id, event_name, hostname, path, referrer_source, referrer, channel,
    utm_source, utm_medium, utm_campaign, click_id, country, language, timezone, browser, browser_version, os, os_version,
    device, screen_width_px, screen_height_px, engaged_ms, scroll_depth_percent, interactive, sequence, revenue_micros,
    revenue_currency, props, metrics, sample_weight, retention_class, batch_time, batch_id
)
WITH
    (x, s) -> (sipHash64(x, s) %% 1000003 + 0.5) / 1000003 AS chance,
    (x, s) -> sqrt(-2 * log(chance(x, s))) * cos(2 * pi() * chance(x, s + 1000)) AS bell,
    (x, s, n) -> toUInt32(floor(exp(chance(x, s) * log(n + 0.99)))) AS ranked,
    [(0.40, 'DE', 'de-DE', 'Europe/Berlin', 0, 1.0), (0.48, 'AT', 'de-AT', 'Europe/Vienna', 0, 1.1),
     (0.55, 'CH', 'de-CH', 'Europe/Zurich', 0, 1.0), (0.65, 'US', 'en-US', 'America/New_York', 6, 1.9),
     (0.72, 'GB', 'en-GB', 'Europe/London', 1, 1.1), (0.77, 'FR', 'fr-FR', 'Europe/Paris', 0, 1.1),
     (0.81, 'NL', 'nl-NL', 'Europe/Amsterdam', 0, 1.0), (0.84, 'IT', 'it-IT', 'Europe/Rome', 0, 1.2),
     (0.87, 'ES', 'es-ES', 'Europe/Madrid', 0, 1.3), (0.895, 'PL', 'pl-PL', 'Europe/Warsaw', 0, 1.2),
     (0.915, 'SE', 'sv-SE', 'Europe/Stockholm', 0, 1.2), (0.93, 'DK', 'da-DK', 'Europe/Copenhagen', 0, 1.1),
     (0.945, 'BE', 'nl-BE', 'Europe/Brussels', 0, 1.0), (0.955, 'CA', 'en-CA', 'America/Toronto', 6, 1.9),
     (0.963, 'CZ', 'cs-CZ', 'Europe/Prague', 0, 1.1), (0.97, 'NO', 'nb-NO', 'Europe/Oslo', 0, 1.2),
     (0.977, 'JP', 'ja-JP', 'Asia/Tokyo', 16, 3.1), (0.984, 'AU', 'en-AU', 'Australia/Sydney', 14, 3.4),
     (0.991, 'IN', 'en-IN', 'Asia/Kolkata', 20, 2.9), (0.996, 'BR', 'pt-BR', 'America/Sao_Paulo', 4, 2.6),
     (1.0, '', 'en-US', '', 0, 1.5)] AS usual_countries,
    [(0.46, 'US', 'en-US', 'America/New_York', 6, 1.9), (0.58, 'GB', 'en-GB', 'Europe/London', 1, 1.1),
     (0.68, 'DE', 'de-DE', 'Europe/Berlin', 0, 1.0), (0.75, 'CA', 'en-CA', 'America/Toronto', 6, 1.9),
     (0.83, 'IN', 'en-IN', 'Asia/Kolkata', 20, 2.9), (0.88, 'AU', 'en-AU', 'Australia/Sydney', 14, 3.4),
     (0.92, 'FR', 'fr-FR', 'Europe/Paris', 0, 1.1), (0.96, 'NL', 'en-US', 'Europe/Amsterdam', 0, 1.0),
     (1.0, 'SE', 'en-US', 'Europe/Stockholm', 0, 1.2)] AS spike_countries,
    -- An empty version is one of the browsers that come anew every four weeks.
    [(0.27, 'Chrome', '', 'Windows', '10 or 11', 'desktop', 1920, 1080),
     (0.35, 'Chrome', '', 'Mac OS X', '', 'desktop', 1728, 1117),
     (0.58, 'Mobile Safari', '26.6', 'iOS', '26.6', 'mobile', 390, 844),
     (0.75, 'Chrome Mobile', '', 'Android', '15', 'mobile', 412, 915),
     (0.82, 'Safari', '26.6', 'Mac OS X', '', 'desktop', 1440, 900),
     (0.87, 'Edge', '', 'Windows', '10 or 11', 'desktop', 1536, 864),
     (0.915, 'Firefox', '', 'Windows', '10 or 11', 'desktop', 2560, 1440),
     (0.935, 'Firefox', '', 'Linux', '', 'desktop', 1920, 1080),
     (0.955, 'Samsung Internet', '31.0', 'Android', '15', 'mobile', 384, 832),
     (0.975, 'Mobile Safari', '26.5', 'iOS', '26.5', 'tablet', 820, 1180),
     (0.985, 'Chrome Mobile', '', 'Android', '14', 'tablet', 800, 1280),
     (1.0, 'Opera', '126', 'Windows', '10 or 11', 'desktop', 1366, 768)] AS agents,
    [(0.33, '', '', 'direct', '', '', '', ''),
     (0.62, 'Google', 'www.google.com/', 'organic_search', '', '', '', ''),
     (0.68, 'Google', 'www.google.com/', 'paid_search', 'google', 'cpc', 'brand', 'gclid'),
     (0.71, 'Bing', 'www.bing.com/search', 'organic_search', '', '', '', ''),
     (0.74, 'DuckDuckGo', 'duckduckgo.com/', 'organic_search', '', '', '', ''),
     (0.755, 'Ecosia', 'www.ecosia.org/search', 'organic_search', '', '', '', ''),
     (0.81, 'Instagram', 'l.instagram.com/', 'organic_social', '', '', '', ''),
     (0.84, 'Facebook', 'l.facebook.com/l.php', 'organic_social', '', '', '', ''),
     (0.87, 'Pinterest', 'www.pinterest.com/', 'organic_social', '', '', '', ''),
     (0.89, 'Reddit', 'www.reddit.com/r/Coffee', 'organic_social', '', '', '', ''),
     (0.91, 'YouTube', 'www.youtube.com/', 'organic_video', '', '', '', ''),
     (0.935, 'ChatGPT', 'chatgpt.com/', 'ai_assistant', '', '', '', ''),
     (0.945, 'Perplexity', 'www.perplexity.ai/', 'ai_assistant', '', '', '', ''),
     (0.965, 'barista-forum.example', 'barista-forum.example/t/kettles', 'referral', '', '', '', ''),
     (0.98, 'kitchen-weekly', 'kitchen-weekly.example/reviews', 'affiliates', 'kitchen-weekly', 'affiliate', 'gift-guide', ''),
     (1.0, 'roasters.example', 'roasters.example/members', 'referral', '', '', '', '')] AS usual_sources,
    [(0.72, 'Hacker News', 'news.ycombinator.com/item', 'organic_social', '', '', '', ''),
     (0.82, '', '', 'direct', '', '', '', ''),
     (0.92, 'Reddit', 'www.reddit.com/r/webdev', 'organic_social', '', '', '', ''),
     (1.0, 'Twitter', 't.co/', 'organic_social', '', '', '', '')] AS spike_sources,
    ['/blog/espresso-at-home', '/blog/grind-size-guide', '/blog/how-we-cut-our-page-weight', '/blog/water-matters',
     '/blog/cold-brew-in-a-jar', '/blog/descaling', '/blog/what-is-specialty-coffee', '/blog/visit-to-guji',
     '/blog/v60-or-chemex', '/blog/milk-foam', '/blog/storing-beans', '/blog/decaf-explained', '/blog/moka-pot',
     '/blog/our-new-roaster'] AS posts,
    ['/products/house-espresso', '/products/ethiopia-guji', '/products/hand-grinder', '/products/gooseneck-kettle',
     '/products/v60-starter-set', '/products/colombia-huila', '/products/decaf-sugarcane', '/products/paper-filters',
     '/products/brazil-santos', '/products/scale-with-timer', '/products/kenya-aa', '/products/milk-jug',
     '/products/espresso-machine-mini', '/products/tasting-box', '/products/tamper', '/products/cold-brew-jar',
     '/products/subscription', '/products/gift-card', '/products/burr-grinder', '/products/enamel-mug'] AS products,
    ['/shop/beans', '/shop/grinders', '/shop/kettles', '/shop/accessories', '/shop/gifts'] AS shelves,
    ['kettle', 'decaf', 'grinder', 'gift', 'filter', 'guji', 'moka', 'organic'] AS searched,
    -- Running shares of the hours of a local day: few at night, most before noon and after supper.
    [0.008, 0.012, 0.015, 0.018, 0.022, 0.031, 0.051, 0.087, 0.141, 0.203, 0.264, 0.321, 0.375, 0.427, 0.479, 0.53,
     0.581, 0.634, 0.69, 0.752, 0.82, 0.888, 0.95, 1.0] AS hours
SELECT
    %(site_id)s AS site_id,
    toStartOfHour(time) AS hour,
    fromUnixTimestamp64Milli(at_ms, 'UTC') AS time,
    kind,
    visitor AS visitor_id,
    sipHash64(v, i, 17) AS load_id,
    if(kind = 'custom', event, '') AS event_name,
    %(hostname)s AS hostname,
    step.1 AS path,
    if(i = 1, source.2, '') AS referrer_source,
    if(i = 1, source.3, '') AS referrer,
    if(i = 1, source.4, 'direct') AS channel,
    if(i = 1, source.5, '') AS utm_source,
    if(i = 1, source.6, '') AS utm_medium,
    if(i = 1, source.7, '') AS utm_campaign,
    if(i = 1, source.8, '') AS click_id,
    place.2 AS country,
    place.3 AS language,
    place.4 AS timezone,
    agent.2 AS browser,
    if(agent.3 = '', toString(154 - intDiv(20790 - day_number, 28) - (chance(w, 33) < 0.3)), agent.3) AS browser_version,
    agent.4 AS os,
    agent.5 AS os_version,
    agent.6 AS device,
    agent.7 AS screen_width_px,
    agent.8 AS screen_height_px,
    if(kind = 'engagement', engaged[i], 0) AS engaged_ms,
    if(kind = 'engagement', toUInt8(least(100, 18 + 60 * chance(page, 61) + engaged[i] / 1500)), 255) AS scroll_depth_percent,
    kind = 'pageview' OR (kind = 'custom' AND event != '404') AS interactive,
    kind IN ('engagement', 'vitals') AS sequence,
    if(event_name = 'Purchase', toInt64(1000000 * round(exp(3.6 + 0.55 * bell(v, 71)) * 20) / 20), 0) AS revenue_micros,
    if(event_name = 'Purchase', 'EUR', '') AS revenue_currency,
    multiIf(
        event_name = 'Add to cart', map('product', splitByChar('/', path)[3], 'variant', ['whole bean', 'ground', 'single'][1 + sipHash64(v, 72) %% 3]),
        event_name = 'Purchase', map('items', toString(1 + sipHash64(v, 73) %% 4), 'payment', ['card', 'paypal', 'invoice'][ranked(v, 74, 3)]),
        event_name = 'Newsletter signup', map('place', if(chance(page, 75) < 0.6, 'end of article', 'footer')),
        event_name = 'Search', map('term', searched[ranked(page, 76, 8)]),
        event_name = 'Outbound Link: Click', map('url', 'https://roasters.example/members'),
        event_name = 'File Download', map('url', 'https://demo.example/guides/brewing.pdf'),
        event_name = '404', map('path', path),
        map()) AS props,
    multiIf(
        kind = 'vitals', mapFromArrays(
            ['lcp_ms', 'inp_ms', 'cls', 'fcp_ms', 'ttfb_ms'],
            arrayMap(value -> toFloat32(value), [
                round(lcp_ms, 1),
                8 * round(12 * exp(0.6 * bell(page, 82)) * pow(weight, 1.3) * if(is_shop OR path = '/cart', slow_clicks, 1)),
                round(0.035 * exp(0.9 * bell(page, 83)) * if(is_shop AND slow_pictures > 1, 3.4, 1), 4),
                round(lcp_ms * (0.5 + 0.3 * chance(page, 84)), 1),
                round(ttfb_ms, 1)])),
        kind = 'timings', mapFromArrays(
            ['dns_ms', 'connect_ms', 'tls_ms', 'ttfb_ms', 'download_ms', 'dom_interactive_ms', 'dom_content_loaded_ms',
             'load_ms', 'transfer_bytes'],
            arrayMap(value -> toFloat32(round(value, 1)), [
                if(is_warm, 0, 11 * exp(0.9 * bell(page, 86)) * place.6),
                if(is_warm, 0, 24 * exp(0.5 * bell(page, 87)) * place.6),
                if(is_warm, 0, 17 * exp(0.5 * bell(page, 88)) * place.6),
                ttfb_ms,
                35 * exp(0.8 * bell(page, 89)) * weight,
                lcp_ms * 0.62, lcp_ms * 0.71, lcp_ms * 1.25,
                round(420000 * exp(0.4 * bell(page, 90)) * if(is_shop, slow_pictures * slow_pictures, 1))])),
        map()) AS metrics,
    1 AS sample_weight,
    %(retention_class)s AS retention_class,
    toDateTime(%(batch_time_s)s, 'UTC') AS batch_time,
    %(batch_id)s AS batch_id
FROM
(
    SELECT
        *,
        arrayJoin(arrayFilter(k -> k = 1 OR (k = 2 AND event != '') OR (k = 3 AND chance(page, 41) < 0.93)
            OR (k = 4 AND chance(page, 42) < 0.34) OR (k = 5 AND chance(page, 43) < 0.16), range(1, 6))) AS k,
        CAST(k AS Enum8('pageview' = 1, 'custom' = 2, 'engagement' = 3, 'vitals' = 4, 'timings' = 5)) AS kind,
        -- A page is seen, its measurements follow, then what its visitor does, and last how long it was looked at.
        least(
            started_ms + toInt64(arraySum(arraySlice(engaged, 1, i - 1))) + (i - 1) * 3700
                + [0, toInt64(engaged[i] * 0.8), toInt64(engaged[i]), 2600, 2100][k],
            end_ms - 1) AS at_ms,
        startsWith(step.1, '/products') OR startsWith(step.1, '/shop') AS is_shop,
        multiIf(agent.6 = 'mobile', 1.5, agent.6 = 'tablet', 1.25, 1.0) AS weight,
        chance(page, 85) < 0.45 AS is_warm,
        190 * exp(0.5 * bell(page, 81)) * place.6 AS ttfb_ms,
        ttfb_ms + 980 * exp(0.45 * bell(page, 80)) * weight * if(is_shop, 1.15 * slow_pictures, 1) AS lcp_ms
    FROM
    (
        SELECT
            *,
            arrayJoin(arrayEnumerate(steps)) AS i,
            steps[i] AS step,
            sipHash64(v, i, 40) AS page,
            multiIf(
                step.2 != '', step.2,
                startsWith(step.1, '/blog') AND chance(page, 51) < if(is_spike, 0.01, 0.035), 'Newsletter signup',
                startsWith(step.1, '/shop') AND chance(page, 52) < 0.06, 'Search',
                startsWith(step.1, '/guides') AND chance(page, 53) < 0.4, 'File Download',
                chance(page, 54) < 0.012, 'Outbound Link: Click',
                '') AS event
        FROM
        (
            SELECT
                *,
                multiIf(
                    is_spike, ['/blog/how-we-cut-our-page-weight', '/', '/about', '/shop/beans'],
                    intent < 0.32, [post, '/shop/beans', posts[ranked(v, 23, 14)], product, '/', other],
                    intent < 0.68, ['/', shelf, product, other, shelves[ranked(v, 24, 5)], third, '/shipping', post],
                    intent < 0.87, [product, other, shelf, third, '/shipping', post],
                    intent < 0.93, ['/guides/brewing', post, '/', product],
                    intent < 0.975, ['/about', '/contact', '/', shelf, product],
                    ['/old-shop/sale', '/', shelf, product]) AS walk,
                arrayMap(path -> (path, if(path = '/old-shop/sale', '404', '')), arraySlice(walk, 1, wanted_pages)) AS looked_at,
                multiIf(
                    wish < 0.021 * appetite,
                    arrayConcat(looked_at, [(product, 'Add to cart'), ('/cart', ''), ('/checkout', ''), ('/checkout/thank-you', 'Purchase')]),
                    wish < 0.036 * appetite, arrayConcat(looked_at, [(product, 'Add to cart'), ('/cart', ''), ('/checkout', '')]),
                    wish < 0.062 * appetite, arrayConcat(looked_at, [(product, 'Add to cart'), ('/cart', '')]),
                    wish < 0.08 * appetite, arrayConcat(looked_at, [(product, 'Add to cart')]),
                    looked_at) AS steps,
                -- Half of those who see one page only are gone within ten seconds.
                arrayMap(
                    (step, n) -> if(
                        length(steps) = 1 AND chance(v, 30) < if(slow_pictures > 1 OR is_spike, 0.66, 0.5),
                        toUInt32(900 + 8000 * chance(v, 31)),
                        toUInt32(least(600000, 1000 * exp(multiIf(startsWith(step.1, '/blog'), 3.7, startsWith(step.1, '/products'), 3.0, 2.4)
                            + 0.8 * bell(v * 64 + n, 32))))),
                    steps, arrayEnumerate(steps)) AS engaged
            FROM
            (
                SELECT
                    day.1 AS start_ms, day.2 AS end_ms, day.3 AS day_number, day.9 AS slow_pictures, day.10 AS slow_clicks,
                    toUInt64(day_number) * 1000000 + visit AS v,
                    -- Every eighth visit is by somebody who was here today.
                    if(visit > 60 AND chance(v, 1) < 0.12, v - 1 - toUInt64(60 * chance(v, 2)), v) AS w,
                    sipHash64(w, %(site_id)s, 3) AS visitor,
                    chance(v, 4) < day.5 AS is_spike,
                    arrayFirst(each -> each.1 >= chance(w, 5), if(is_spike, spike_countries, usual_countries)) AS place,
                    arrayFirst(each -> each.1 >= chance(w, 6), agents) AS agent,
                    multiIf(
                        is_spike, arrayFirst(each -> each.1 >= chance(v, 7), spike_sources),
                        chance(v, 8) < day.8,
                        (1.0, 'newsletter', '', 'email', 'newsletter', 'email', concat('letter-', toString(intDiv(day_number, 7) - 2900)), ''),
                        chance(v, 9) < day.6, (1.0, 'Google', 'www.google.com/', 'paid_search', 'google', 'cpc', 'summer-sale', 'gclid'),
                        chance(v, 10) < day.7,
                        (1.0, 'Instagram', 'l.instagram.com/', 'paid_social', 'instagram', 'paid_social', 'spring', 'fbclid'),
                        arrayFirst(each -> each.1 >= chance(v, 7), usual_sources)) AS source,
                    modulo(arrayFirstIndex(share -> share >= chance(v, 11), hours) - 1 + place.5 + 24, 24) AS local_hour,
                    least(start_ms + toInt64((local_hour + chance(v, 12)) * 3600000), end_ms - 1) AS started_ms,
                    1 + least(7, toUInt8(floor(-log(chance(v, 13)) * if(is_spike, 0.55, 1.6)))) AS wanted_pages,
                    chance(v, 20) AS intent, chance(v, 21) AS wish,
                    multiIf(is_spike, 0.04, day.6 > 0, 1.7, 1.0) * if(agent.6 = 'mobile', 0.75, 1.25) * if(slow_clicks > 1, 0.7, 1) AS appetite,
                    posts[ranked(v, 25, 14)] AS post, products[ranked(v, 26, 20)] AS product, products[ranked(v, 27, 20)] AS other,
                    products[ranked(v, 28, 20)] AS third, shelves[ranked(v, 29, 5)] AS shelf
                FROM
                (
                    SELECT day, visit
                    FROM (SELECT arrayJoin(%(days)s) AS day)
                    ARRAY JOIN range(toUInt64(day.4)) AS visit
                )
            )
        )
    )
)
WHERE at_ms >= %(from_ms)s AND at_ms < %(until_ms)s
