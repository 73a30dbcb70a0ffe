-- Breakers and rests that workers share: a batch of operations, then what has changed since the asker last looked.
-- KEYS[1] is the prefix of all keys (one hash tag). ARGV: the batch as JSON; the version that the asker knows; the time
-- in milliseconds, or empty for the server's own. All spans are milliseconds; nothing here depends on workers' clocks.
local PREFIX, KEPT_MS, INDEX_MS, MOST, LUMPS = KEYS[1] .. 'b:', 600000, 86400000, 4096, 100
local INDEX, VERSION = KEYS[1] .. 'bi', KEYS[1] .. 'bv'
local call = redis.call
local now = tonumber(ARGV[3])
if not now then
    local time = call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- open: until when it rests (0: closed), rest: how long it did, probe and claimed: who probes and until when, row:
-- failures in a row, begun: when that row began, bad: the last failure, told: until when it is left alone by request,
-- lumps: what was told of calls, newest first, each a time, good ones, bad ones.
local function load(id)
    local found = call('GET', PREFIX .. id)
    return found and cjson.decode(found)
        or {open = 0, rest = 0, probe = '', claimed = 0, row = 0, begun = 0, bad = 0, told = 0, window = 0, lumps = {}}
end

local function save(id, s, changed)
    local last = math.max(s.told, s.bad + s.window)
    if s.open > 0 then
        last = math.max(last, s.open + KEPT_MS)
    end
    if last > now then
        call('SET', PREFIX .. id, cjson.encode(s), 'PX', math.ceil(last - now))
    else
        call('DEL', PREFIX .. id)
    end
    if changed then
        call('ZADD', INDEX, call('INCR', VERSION), id)
        call('ZREMRANGEBYRANK', INDEX, 0, 0 - MOST - 1)
        call('PEXPIRE', INDEX, INDEX_MS)
        call('PEXPIRE', VERSION, INDEX_MS)
    end
end

local function count(s, good, bad)
    local lumps, edge = {now, good, bad}, now - s.window
    local goods, bads = good, bad
    for at = 1, #s.lumps, 3 do
        if #lumps >= 3 * LUMPS or goods + bads >= LUMPS or s.lumps[at] < edge then
            break
        end
        lumps[#lumps + 1], lumps[#lumps + 2], lumps[#lumps + 3] = s.lumps[at], s.lumps[at + 1], s.lumps[at + 2]
        goods, bads = goods + s.lumps[at + 1], bads + s.lumps[at + 2]
    end
    s.lumps = lumps
    return goods, bads
end

-- Good calls since this worker last told, the last of them so long ago; and a bad one, or none. 1: that opened it.
local function note(id, good, ago, bad, failures, share, of, window, rest)
    local s = load(id)
    if s.open > 0 then
        return 0
    end
    s.window = window
    if good > 0 and now - ago >= s.bad then
        s.row = 0
    end
    local goods, bads = count(s, good, bad)
    if bad > 0 then
        s.row, s.bad = s.row + 1, now
        s.begun = s.row == 1 and now or s.begun
        if s.row >= failures or (goods + bads >= of and bads / (goods + bads) >= share) then
            -- A share counts all workers' calls, so no single good one speaks against it.
            s.begun = s.row >= failures and s.begun or now + window
            s.open, s.rest = now + rest, rest
        end
    end
    save(id, s, bad > 0)
    return s.open > 0 and 1 or 0
end

-- 1: the asker is the probe; 2: it is closed; 0: neither.
local function claim(id, probe, lasts)
    local s = load(id)
    if s.open == 0 then
        return now < s.told and 0 or 2
    end
    if now < s.open or now < s.told or (s.probe ~= '' and now < s.claimed) then
        return 0
    end
    s.probe, s.claimed = probe, now + lasts
    save(id, s, true)
    return 1
end

local function renew(id, probe, lasts)
    local s = load(id)
    if s.open > 0 and s.probe == probe then
        s.claimed = now + lasts
        save(id, s, true)
    end
    return 0
end

-- How a probe ended: good, bad or (its client left) neither. A good one counts though its claim has lapsed.
local function ended(id, probe, outcome, longest)
    local s = load(id)
    if s.open == 0 or (outcome ~= 'good' and s.probe ~= probe) then
        return 0
    end
    s.probe, s.claimed = '', 0
    if outcome == 'good' then
        s.open, s.rest, s.row, s.begun, s.lumps = 0, 0, 0, 0, {}
    elseif outcome == 'bad' then
        s.rest = math.min(s.rest * 2, longest)
        s.open = now + s.rest
    end
    save(id, s, true)
    return 0
end

-- A worker that was alone for a while found it dead.
local function found(id, left, rest, window)
    local s = load(id)
    if s.open == 0 then
        s.open, s.rest, s.begun, s.window = now + left, rest, now, window
        save(id, s, true)
    end
    return 0
end

local function told(id, left)
    local s = load(id)
    if now + left > s.told then
        s.told = now + left
        save(id, s, true)
    end
    return 0
end

-- id, ms left of its rest (-1: closed), the rest, ms left of a probe, of being told, of being watched, ms since the row
-- began.
local function seen(id)
    local s = load(id)
    return {
        id, s.open > 0 and math.max(s.open - now, 0) or -1, s.rest, s.probe ~= '' and math.max(s.claimed - now, 0) or 0,
        math.max(s.told - now, 0), math.max(s.bad + s.window - now, 0), now - s.begun
    }
end

local operations = {n = note, p = claim, r = renew, e = ended, f = found, w = told}
local answers, news, since = {}, {}, tonumber(ARGV[2])
for index, asked in ipairs(cjson.decode(ARGV[1])) do
    answers[index] = operations[asked[1]](unpack(asked, 2))
end
local version = tonumber(call('GET', VERSION) or 0)
if since ~= version then
    for index, id in ipairs(call('ZRANGEBYSCORE', INDEX, since > version and 0 or '(' .. since, '+inf')) do
        news[index] = seen(id)
    end
end
return cjson.encode({version, answers, news})
