// What the page says, in Chinese and English.

const WORDS = {
  en: {
    skip: "Skip to the message field", chats: "Chats", iAm: "I am", newUser: "New person", newGroup: "New group",
    back: "Back to the chats", messages: "Messages", mention: "Mention someone", draft: "Write a message", send: "Send",
    hint: "Enter sends, Shift+Enter starts a new line, @ mentions", close: "Close", cancel: "Cancel", ok: "OK",
    bot: "bot", you: "you", everyone: "everyone", group: "Group", bots: "Bots", people: "People", name: "Name",
    choose: "Choose a chat on the left.", noBots: "There is no bot yet.", quiet: "Nothing said yet. Say hello.",
    edited: "edited", recalled: "This message was recalled", onlyYou: "only you see this",
    delivered: "Delivered", retrying: "Retrying", failed: "Failed", sending: "Sending", waiting: "Waiting",
    deliveredOf: "Delivered {0} of {1}", react: "React", reply: "Reply", recall: "Recall", raw: "Event JSON",
    source: "JSON", replyTo: "Reply to {0}", noReply: "Do not reply", more: "Actions", attempts: "Attempts",
    offline: "Connection lost, trying again", stale: "The playground was started again: load this page anew",
    image: "[Image]", file: "[File]", card: "[Card]", unread: "{0} unread", sent: "Sent", choosePlease: "Please choose",
    answered: "The bot answered", notSent: "Not sent: {0}", status: "status", seconds: "s", noEvents: "No event was sent for this message.",
    200080: "Something went wrong, the bot cut the connection", 200340: "No callback address is configured for this bot", 200341: "The bot did not answer in time",
    200342: "The bot could not be reached", 200343: "The bot's address could not be found", 200530: "A form field has no name",
    200671: "The bot answered with an error", 200672: "The bot's answer is malformed", 200673: "The card in the bot's answer is malformed",
    200830: "A card of schema 2.0 cannot become one of 1.0",
  },
  zh: {
    skip: "跳到输入框", chats: "会话", iAm: "我是", newUser: "新建用户", newGroup: "新建群组",
    back: "返回会话列表", messages: "消息", mention: "提及", draft: "输入消息", send: "发送",
    hint: "Enter 发送，Shift+Enter 换行，@ 提及", close: "关闭", cancel: "取消", ok: "确定",
    bot: "机器人", you: "我", everyone: "所有人", group: "群组", bots: "机器人", people: "成员", name: "名称",
    choose: "请在左侧选择一个会话。", noBots: "还没有机器人。", quiet: "还没有消息，打个招呼吧。",
    edited: "已编辑", recalled: "此消息已撤回", onlyYou: "仅你可见",
    delivered: "已送达", retrying: "重试中", failed: "失败", sending: "发送中", waiting: "等待中",
    deliveredOf: "已送达 {0}/{1}", react: "表情回复", reply: "回复", recall: "撤回", raw: "事件 JSON",
    source: "JSON", replyTo: "回复 {0}", noReply: "取消回复", more: "操作", attempts: "投递记录",
    offline: "连接已断开，正在重连", stale: "Playground 已重启，请刷新页面",
    image: "[图片]", file: "[文件]", card: "[卡片]", unread: "{0} 条未读", sent: "已发送", choosePlease: "请选择",
    answered: "机器人已响应", notSent: "未发送：{0}", status: "状态", seconds: "秒", noEvents: "此消息没有产生事件。",
    200080: "出错了，机器人断开了连接", 200340: "该机器人没有配置回调地址", 200341: "机器人未及时响应",
    200342: "无法连接机器人", 200343: "找不到机器人的地址", 200530: "表单项缺少 name",
    200671: "机器人返回了错误状态", 200672: "机器人的响应格式错误", 200673: "机器人响应中的卡片格式错误",
    200830: "2.0 卡片不能换成 1.0 卡片",
  },
};

const KEPT = "playground-language";
let language = localStorage.getItem(KEPT) || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export function word(name, ...values) {
  const text = WORDS[language][name] ?? String(name);
  return text.replace(/\{(\d)\}/g, (_, index) => values[Number(index)]);
}

export function locale() {
  return language === "zh" ? "zh-CN" : "en-GB";
}

// Which of a card's or post's texts to show.
export function localeKey() {
  return language === "zh" ? "zh_cn" : "en_us";
}

export function otherLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(KEPT, language);
  translate();
}

export function translate() {
  document.documentElement.lang = locale();
  for (const node of document.querySelectorAll("[data-word]")) node.textContent = word(node.dataset.word);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", word(node.dataset.label));
  for (const node of document.querySelectorAll("[data-title]")) node.title = word(node.dataset.title);
  for (const node of document.querySelectorAll("[data-placeholder]")) node.placeholder = word(node.dataset.placeholder);
  document.getElementById("language").textContent = language === "zh" ? "EN" : "中";
}
