-- Everything that counters do in Redis: a batch of operations, each of them whole, in the order they were sent.
-- KEYS[1] is the prefix of all keys (one hash tag, so that a cluster keeps them together). ARGV[1] is the batch as
-- JSON, ARGV[2] the time in milliseconds, or empty for the server's own, which all workers share.
local PREFIX, WINDOW, LEASE_MS, KEPT_MS = KEYS[1], 61, 60000, 172800000
local call = redis.call
local now_ms = tonumber(ARGV[2])
if not now_ms then
    local time = call('TIME')
    now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local now_s = math.floor(now_ms / 1000)

-- Whole numbers as text: Redis would write one of Lua's with seventeen digits, at many times the cost.
local function int(number)
    return string.format('%d', number)
end
local NOW, LEASE_ENDS = int(now_s), int(now_ms + LEASE_MS)

-- A window is a hash: a count by second, `n` their sum, `f` and `l` the first and last second that may hold one.
local function slide(key)
    local head = call('HMGET', key, 'n', 'f', 'l', NOW)
    if not head[1] then
        return {key = key, total = 0, first = now_s, last = now_s, here = 0}
    end
    -- `known`: the second in which it was counted last; `here`: what was counted in the present one.
    local window = {
        key = key, total = tonumber(head[1]), first = tonumber(head[2]), last = tonumber(head[3]),
        known = tonumber(head[3]), here = tonumber(head[4] or 0)
    }
    local edge = now_s - WINDOW
    if window.last <= edge then
        call('DEL', key)
        return {key = key, total = 0, first = now_s, last = now_s, here = 0}
    end
    if window.first <= edge then
        for second = window.first, edge do
            local count = call('HGET', key, second)
            if count then
                window.total = window.total - tonumber(count)
                call('HDEL', key, second)
            end
        end
        window.first = edge + 1
        call('HSET', key, 'n', window.total, 'f', window.first)
    end
    return window
end

local function wait_ms(window, too_much)
    for second = window.first, window.last do
        too_much = too_much - tonumber(call('HGET', window.key, second) or 0)
        if too_much <= 0 then
            return math.max((second + WINDOW) * 1000 - now_ms, 1)
        end
    end
    return 1
end

-- Leases are a sorted set of holders by the time at which they go.
local function holds_lease(key, id)
    return call('ZSCORE', PREFIX .. 'c:' .. key, id)
end

local function leases_of(key)
    key = PREFIX .. 'c:' .. key
    call('ZREMRANGEBYSCORE', key, '-inf', now_ms)
    return call('ZCARD', key)
end

-- Money is a hash: `spent`, `held`, the holds by `h` and their holder, `k` the second in which it was last looked for
-- the dead; beside it a sorted set of the holders by the time at which they go.
local function bury(hash, set)
    call('HSET', hash, 'k', NOW)
    while true do
        local dead = call('ZRANGEBYSCORE', set, '-inf', now_ms, 'LIMIT', 0, 100)
        if #dead == 0 then
            return
        end
        for _, id in ipairs(dead) do
            local amount = call('HGET', hash, 'h' .. id)
            if amount then
                call('HINCRBY', hash, 'held', 0 - tonumber(amount))
                call('HDEL', hash, 'h' .. id)
            end
            call('ZREM', set, id)
        end
    end
end

-- What is spent (nil: unknown), held by all, and held by `id`.
local function purse_of(key, id)
    local hash = PREFIX .. 'm:' .. key
    local found = call('HMGET', hash, 'spent', 'held', 'h' .. id, 'k')
    if not found[1] then
        return {}
    end
    if not found[4] or tonumber(found[4]) < now_s then
        bury(hash, PREFIX .. 'x:' .. key)
        found = call('HMGET', hash, 'spent', 'held', 'h' .. id)
    end
    return {spent = tonumber(found[1]), held = tonumber(found[2] or 0), mine = tonumber(found[3] or 0)}
end

local function levels(answer, windows)
    for _, window in ipairs(windows) do
        answer[#answer + 1] = window.total
        answer[#answer + 1] = window.total > 0 and (window.last + WINDOW) * 1000 - now_ms or 0
    end
    return answer
end

local function all_levels(answer, asked)
    local windows = {}
    for index, window in ipairs(asked) do
        windows[index] = slide(PREFIX .. 'w:' .. window[1])
    end
    return levels(answer, windows)
end

-- Which money refuses: 3 no room, 4 unknown; else 0 and whether all of it fits.
local function check_money(id, asked, whole, purses)
    local fits = 1
    for index, money in ipairs(asked) do
        local purse = purse_of(money[1], id)
        if not purse.spent then
            return 4, index - 1, 0
        end
        purses[index] = purse
        local others = purse.spent + purse.held - purse.mine
        if others + money[3] > money[2] or others >= money[2] then
            if whole or others >= money[2] then
                return 3, index - 1, 0
            end
            fits = 0
        end
    end
    return 0, 0, fits
end

-- The hash got its time to live from `level`; the set, where it may be new.
local function hold(id, money, purse)
    local hash, set = PREFIX .. 'm:' .. money[1], PREFIX .. 'x:' .. money[1]
    call('HSET', hash, 'held', int(purse.held - purse.mine + money[3]), 'h' .. id, int(money[3]))
    call('ZADD', set, LEASE_ENDS, id)
    if purse.held == 0 then
        call('PEXPIREAT', set, int(money[4] * 1000 + KEPT_MS))
    end
end

local function drop(id, keys)
    for _, key in ipairs(keys) do
        call('ZREM', PREFIX .. 'c:' .. key, id)
    end
end

-- The answer: code, index, wait in ms, second, held, then total and reset in ms of each window.
local function take(id, asked, leases, money, whole, dropped)
    drop(id, dropped)
    local windows, second = {}, now_s
    for index, window in ipairs(asked) do
        local found = slide(PREFIX .. 'w:' .. window[1])
        second = math.max(second, found.last)
        local too_much = found.total + math.min(window[3], window[2]) - window[2]
        if too_much > 0 then
            return all_levels({1, index - 1, wait_ms(found, too_much), 0, 0}, asked)
        end
        windows[index] = found
    end
    for index, lease in ipairs(leases) do
        if leases_of(lease[1]) >= lease[2] and not holds_lease(lease[1], id) then
            return all_levels({2, index - 1, 0, 0, 0}, asked)
        end
    end
    local purses = {}
    local code, which, fits = check_money(id, money, whole, purses)
    if code > 0 then
        return all_levels({code, which, 0, 0, 0}, asked)
    end
    for index, window in ipairs(asked) do
        local found, amount = windows[index], math.min(window[3], window[2])
        local here = second == now_s and found.here or tonumber(call('HGET', found.key, int(second)) or 0)
        found.total = found.total + amount
        found.last = second
        local at = int(second)
        call('HSET', found.key, at, int(here + amount), 'n', int(found.total), 'f', int(found.first), 'l', at)
        if found.known ~= second then
            call('PEXPIRE', found.key, WINDOW * 2000)
        end
    end
    for _, lease in ipairs(leases) do
        call('ZADD', PREFIX .. 'c:' .. lease[1], LEASE_ENDS, id)
        call('PEXPIRE', PREFIX .. 'c:' .. lease[1], LEASE_MS * 2)
    end
    if fits == 1 then
        for index, one in ipairs(money) do
            hold(id, one, purses[index])
        end
    end
    if #money == 0 then
        fits = 0
    end
    return levels({0, 0, 0, second, fits}, windows)
end

-- `again` says that this may have been sent before: then only what is still held can be settled.
local function give(id, corrections, leases, money, again)
    for _, one in ipairs(corrections) do
        local key = PREFIX .. 'w:' .. one[1]
        local counted = call('HMGET', key, int(one[2]), 'n')
        if counted[1] and not again then
            local total = int(tonumber(counted[2]) + one[3])
            call('HSET', key, int(one[2]), int(tonumber(counted[1]) + one[3]), 'n', total)
        end
    end
    drop(id, leases)
    for _, one in ipairs(money) do
        local hash = PREFIX .. 'm:' .. one[1]
        local found = call('HMGET', hash, 'spent', 'held', 'h' .. id)
        local spent, amount = tonumber(found[1] or nil), tonumber(found[3] or nil)
        local settles = spent and one[2] > 0 and (amount or not again)
        if amount and spent then
            spent = spent + (settles and one[2] or 0)
            call('HSET', hash, 'held', int(tonumber(found[2] or 0) - amount), 'spent', int(spent))
            call('HDEL', hash, 'h' .. id)
            call('ZREM', PREFIX .. 'x:' .. one[1], id)
        elseif settles then
            call('HSET', hash, 'spent', int(spent + one[2]))
        end
    end
    return {0}
end

local function renew(id, leases, money)
    for _, key in ipairs(leases) do
        call('ZADD', PREFIX .. 'c:' .. key, 'XX', LEASE_ENDS, id)
        call('PEXPIRE', PREFIX .. 'c:' .. key, LEASE_MS * 2)
    end
    for _, key in ipairs(money) do
        call('ZADD', PREFIX .. 'x:' .. key, 'XX', LEASE_ENDS, id)
    end
    return {0}
end

local function level(key, spent, end_s)
    local hash = PREFIX .. 'm:' .. key
    local known = call('HGET', hash, 'spent')
    if not known or tonumber(known) < spent then
        call('HSET', hash, 'spent', spent)
    end
    call('PEXPIREAT', hash, end_s * 1000 + KEPT_MS)
    return {0}
end

local function money(key)
    local purse = purse_of(key, '')
    if not purse.spent then
        return {1}
    end
    return {0, purse.spent, purse.held}
end

-- `0 - n` and never `-n` above: -0 is no integer to Redis.
local operations = {t = take, g = give, r = renew, l = level, m = money}
local answers = {}
for index, asked in ipairs(cjson.decode(ARGV[1])) do
    answers[index] = operations[asked[1]](unpack(asked, 2))
end
return cjson.encode(answers)
