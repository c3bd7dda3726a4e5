"""Every Redis key of the hub, built here and nowhere else.

`{…}` is a hash tag: all keys of one bot live in one cluster slot, so that each atomic step stays in one script.
Keys either have a time to live, set where they are written, or are listed in LASTING with the reason.
"""

from __future__ import annotations

from typing import Final

LASTING: Final[dict[str, str]] = {
    "key": "the bot's wrapped data key: what was sealed must stay readable",
    "log": "accepted events and sent messages; each entry is deleted when handled and archived",
    "half": "log entries that one of handling and archiving has finished; emptied by the other",
    "mail": "events that wait; an empty list vanishes",
    "ready": "conversations to be taken; an empty list vanishes",
    "calls": "callbacks to be taken; an empty list vanishes",
    "claim": "where each conversation with mail stands; a field goes with its mail",
    "lease": "when each claim runs out; a member goes with its claim",
    "delayed": "conversations that wait for a retry; a member goes when due",
    "later": "single events that re-enter later; a member goes when due",
    "tries": "starts and failures of events not finished; fields go with their event",
    "depth": "how many events wait; one number a bot",
    "fence": "the last fencing number given; must never go back",
    "dead": "dead letters, until an operator replays or drops them, or `retain` is over",
    "state": "what an author kept without a time to live",
    "timers": "when schedules and reminders are due next, and which bot has the first; a member goes with its schedule",
    "schedules": "the schedules of a bot, as its code and its directory declare them",
    "reminders": "what ctx.later keeps until it is due; a field goes then",
    "nodes": "when each node was last seen",
    "out": "the outbox: the parts above once more, of messages that wait",
    "msg": "the state of a message: as long as it waits, and a week after its end",
    "keycheck": "proof of the master key",
    "alerts": "alerts that are not over, silences, what is still to be sent; the history, which is cut to its length",
    "wake": "bots with ready conversations; an empty list vanishes",
    "woken": "the same, handed to a worker that takes in its next step; an empty list vanishes",
    "outwake": "the same of the outbox",
}


class Keys:
    """Builds the names; `prefix` is `redis.prefix`, by default `hub:`.

    Nodes of one `group` serve the same bots and share what wakes them; a bot that runs as a process of its own is a
    group of its own, so that no process is woken for a bot that it lacks.
    """

    def __init__(self, prefix: str = "hub:", *, group: str = "", box: str = "") -> None:
        """`box` sets a second queue of the same shape beside the first: `out` is the outbox."""
        self.prefix = prefix
        self.wake = f"{prefix}{box}wake:{group}" if group else f"{prefix}{box}wake"
        self.woken = f"{prefix}{box}woken:{group}" if group else f"{prefix}{box}woken"
        self.timers = f"{prefix}timers:{group}" if group else f"{prefix}timers"
        self.nodes = f"{prefix}nodes"
        self.keycheck = f"{prefix}keycheck"
        self.probe = f"{prefix}probe"
        self.limits = f"{prefix}{{limits}}"
        self.answers = f"{prefix}answers"  # a pub/sub channel, not a key
        self.pauses = f"{prefix}pauses"  # a pub/sub channel: limits that Feishu asked to leave alone
        self.cache_changes = f"{prefix}cache"  # a pub/sub channel: what every process' memory must forget
        self.cache_stats = f"{prefix}cachestats"
        self.shreds = f"{prefix}shreds"  # a pub/sub channel: bots whose data keys were shredded
        self.changes = f"{prefix}changes"  # a pub/sub channel: `bots reload` and the like
        self.group = group
        """The one bot that this process serves; empty where it serves all."""
        self._box = f"{box}:" if box else ""

    def outbox(self) -> Keys:
        """The names for the outbox's queue."""
        return Keys(self.prefix, group=self.group, box="out")

    def bot(self, bot: str, part: str) -> str:
        """A key of one bot: log, half, ready, calls, claim, lease, delayed, later, tries, depth, fence, dead, key."""
        return self.root(bot) + part

    def root(self, bot: str) -> str:
        """What all keys of a bot start with; scripts build a bot's names from it."""
        return f"{self.prefix}{{{bot}}}:{self._box}"

    def mail(self, bot: str, conversation: str) -> str:
        return f"{self.root(bot)}mail:{conversation}"

    def msg(self, bot: str, id: str) -> str:
        """A message of the outbox, and the pub/sub channel on which its changes are told."""
        return f"{self.prefix}{{{bot}}}:msg:{id}"

    def batch(self, bot: str, id: str) -> str:
        """What the messages of one call share; the pub/sub channel of its progress too."""
        return f"{self.prefix}{{{bot}}}:batch:{id}"

    def confirmed(self, bot: str) -> str:
        """Written behind what replicas have to confirm."""
        return f"{self.prefix}{{{bot}}}:confirmed"

    def seen(self, bot: str, identity: str) -> str:
        return f"{self.prefix}{{{bot}}}:seen:{identity}"

    def sent(self, bot: str, event_id: str) -> str:
        return f"{self.prefix}{{{bot}}}:sent:{event_id}"

    def result(self, bot: str, event_id: str) -> str:
        return f"{self.prefix}{{{bot}}}:result:{event_id}"

    def state(self, bot: str, scope: str) -> str:
        return f"{self.prefix}{{{bot}}}:state:{scope}"

    def tasks(self, bot: str) -> str:
        """When each task of a bot was last spoken of."""
        return f"{self.prefix}{{{bot}}}:tasks"

    def cached(self, bot: str, digest: str) -> str:
        """A value of the cache; `digest` is of the author's key, which may be made of what people wrote."""
        return f"{self.prefix}{{{bot}}}:cache:{digest}"

    def load(self, bot: str, digest: str) -> str:
        """Who loads a value of the cache now."""
        return f"{self.prefix}{{{bot}}}:load:{digest}"

    def task(self, bot: str, task: str) -> str:
        """A task of `ctx.task`, and the pub/sub channel on which its changes are told."""
        return f"{self.prefix}{{{bot}}}:task:{task}"

    def turns(self, bot: str, chat: str) -> str:
        """How often a bot answered other bots in a chat within the minute."""
        return f"{self.prefix}{{{bot}}}:turns:{chat}"

    def rate(self, bot: str) -> str:
        """How many more events a bot may get in this second, over all gateways."""
        return f"{self.prefix}{{{bot}}}:rate"

    def refused(self, bot: str) -> str:
        """How many requests for a bot were refused of each address within the minute."""
        return f"{self.prefix}{{{bot}}}:refused"

    def token(self, app_id: str, domain: str) -> str:
        return f"{self.prefix}{{app:{app_id}}}:token:{domain}"

    def token_lock(self, app_id: str, domain: str) -> str:
        return f"{self.prefix}{{app:{app_id}}}:tokenlock:{domain}"

    def limit_app(self, app_id: str, api: str) -> str:
        return f"{self.prefix}limit:{{app:{app_id}}}:{api}"

    def limit_chat(self, chat_id: str) -> str:
        return f"{self.prefix}limit:{{chat:{chat_id}}}"

    def limit_user(self, open_id: str) -> str:
        return f"{self.prefix}limit:{{user:{open_id}}}"

    def limit_message(self, message_id: str) -> str:
        return f"{self.prefix}limit:{{message:{message_id}}}"

    def limit_card(self, card_id: str) -> str:
        return f"{self.prefix}limit:{{card:{card_id}}}"

    def limit_hook(self, hook: str) -> str:
        """A custom bot; `hook` is a digest of its address, which is a secret."""
        return f"{self.prefix}limit:{{hook:{hook}}}"

    def limit_alerts(self, limit: str) -> str:
        """The share of `limit`, one of the keys above, that is kept for alerts; in the same slot."""
        return f"{limit}:alerts"

    def limit_use(self, process: str) -> str:
        """What a process that sends used of the limits lately, and who waits there."""
        return f"{self.prefix}{{limits}}:{process}"

    def quota(self, group: str, month: str) -> str:
        """Calls of the bots that share an account."""
        return f"{self.prefix}quota:{{{group}}}:{month}"

    def quota_stop(self, group: str) -> str:
        """Set where Feishu said that the account's month is used up."""
        return f"{self.prefix}quota:{{{group}}}:stop"

    def node(self, node_id: str) -> str:
        return f"{self.prefix}node:{node_id}"

    def limit_ephemeral(self, chat_id: str) -> str:
        """Cards that one member sees: Feishu counts them apart from messages."""
        return f"{self.prefix}limit:{{chat:{chat_id}}}:ephemeral"

    def limit_pause(self, limit: str) -> str:
        """Until when Feishu asked to pause what `limit`, one of the keys above, bounds; in the same slot."""
        return f"{limit}:pause"

    def sweep_turn(self, bots: str) -> str:
        """Whose turn it is to sweep the bots of which `bots` is a digest."""
        return f"{self.prefix}sweeper:{self._box}{bots}"

    def swept(self, bot: str, bots: str) -> str:
        """When the bots of which `bots` is a digest, or those of them beside `bot`, were swept last."""
        return f"{self.root(bot)}swept:{bots}"

    def alerts(self, part: str) -> str:
        """A key of the cluster's alerts: lease, fence, states, silences, notices, channels, history."""
        return f"{self.prefix}alerts:{{all}}:{part}"
