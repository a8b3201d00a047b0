"""Words that carry no content: function words, question words, and the verbs and fillers of asking.

``STOP_WORDS`` are function words; they also tell languages of one script apart. ``QUESTION_WORDS`` ask: what, who,
how, and "explain", "I want to know". Arabic lists hold Modern Standard Arabic and the Egyptian, Gulf, Levantine,
Iraqi and Maghrebi dialects. Every list is matched after folding (:mod:`rag.text.fold`), so one spelling stands for
all that fold alike; they are written here the way readers write them.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS: Final[dict[str, frozenset[str]]] = {
    "ar": _words("""
        في من إلى على عن مع حتى منذ خلال عند عندما لدى بين بعد قبل فوق تحت أمام وراء خلف حول ضد دون بدون عبر نحو سوى
        غير مثل مثلا ضمن داخل خارج رغم أثناء حسب وفق بسبب لأجل أجل بواسطة طبقا لكي كي حيث حين حينما و أو أم ثم ف بل
        لكن لكنه ولكن لأن لأنه إذ إذا إن أنه أنها أنهم لو لولا لوما كلما طالما إما إلا أي أية هو هي هم هن هما أنا نحن
        أنت أنتم إياه هذا هذه هذان هاتان هؤلاء ذلك ذاك تلك أولئك هنا هناك هنالك الذي التي الذين اللذان اللتان اللاتي
        اللواتي اللائي كان كانت كانوا يكون تكون يكونوا كنت كن أكون نكون ليس ليست ليسوا لست أصبح صار ظل مازال لازال
        يزال تزال قد لقد سوف لن لم لما لا ما كما كذلك أيضا فقط جدا كل كلا كلتا جميع بعض كافة عدة نفس ذات أحد إحدى له
        لها لهم لهن لهما لي لنا لك لكم به بها بهم بي بنا بك بكم فيه فيها فيهم منه منها منهم منك مني منا عليه عليها
        عليهم عليك عنه عنها عنهم إليه إليها إليهم إليك معه معها معهم معك لديه لديها لديهم لديك بينهم بينها بينهما عنده
        عندها عندهم عندي عندك يا أيها أيتها نعم سواء بينما بحيث مما عما فيما بما ممن يمكن تم يتم تتم وهو وهي وهم وهذا
        وهذه فهو فهي بأن فإن وأن لعل ليت ده دي دا دول كده كدا اللي بتاع بتاعة بتاعت بتاعي بتاعك بتوع عشان علشان عشانه
        لسه برضه برضو بس مش مو مهو موش مب ماهو ماهي أوي خالص كمان فين منين احنا انتو انتوا هيا هوه هوا بقى بقا زي هاد
        هادا هاي هيدا هيدي هداك هيك هون هونيك كتير كثير رح راح عم منشان مشان لسا بعدين هلق هلأ لحتى هذي هذول هذولا ذي
        ذا ذيك ترى وايد واجد الحين توه عقب يعني هاذا هاذي هاذ ديال ديالي ديالو بزاف راه راهو باش واش
        """),
    "en": _words("""
        a an the this that these those and or but nor so yet if then than because while although though unless until
        of to in on at by for from with without within into onto about above below under over between among through
        during before after against toward towards across along around behind beside besides beyond near per via upon
        off out up down again further once here there i me my mine myself we us our ours ourselves you your yours
        yourself yourselves he him his himself she her hers herself it its itself they them their theirs themselves
        one ones someone somebody something anyone anybody anything everyone everybody everything am is are was were
        be been being isn't aren't wasn't weren't 's i'm i've i'd i'll it's that's there's you're we're they're he's
        she's have has had having haven't hasn't hadn't do does did doing done don't doesn't didn't will would shall
        should can could may might must ought can't cannot couldn't won't wouldn't shouldn't not no only own same such
        too very just also even still ever never all any both each few more most other others another some many much
        less least several every either neither as else however therefore thus hence
        """),
    "fr": _words("""
        le la les l un une des du de d au aux et ou mais donc or ni car que qu se si ne pas plus ce cet cette ces mon
        ma mes ton ta tes son sa ses notre nos votre vos leur leurs je j tu il elle on nous vous ils elles me m te t
        lui y en dans sur sous avec sans pour par entre vers chez est sont était être a ont avait avoir fait comme
        aussi très
        """),
    "de": _words("""
        der die das den dem des ein eine einen einem einer eines und oder aber doch denn weil dass wenn als ob nicht
        kein keine ich du er sie es wir ihr mich mir dich dir ihn ihm uns euch ihnen sich mein dein sein seine ihre
        unser in im an am auf aus bei mit nach von vom vor zu zum zur für über unter durch gegen ohne um bis ist sind
        war waren wird werden wurde hat haben hatte kann können soll muss auch noch nur sehr so mehr
        """),
    "es": _words("""
        el la los las un una unos unas y e o u pero sino ni que si no de del al a en con sin por para sobre entre
        hasta desde hacia según lo le les se me te nos os su sus mi mis tu tus este esta estos estas ese esa eso esto
        aquel es son era eran ser están fue ha han había hay como más muy también ya yo ella ellos ellas
        """),
    "it": _words("""
        il lo la i gli le l un uno una e ed o ma se che non di del della dei delle degli dello a al alla ai alle da
        dal dalla in nel nella nei nelle con su sul sulla per tra fra si ci vi mi ti lui lei noi voi loro suo sua
        questo questa sono era erano essere ha hanno aveva come più anche molto
        """),
    "pt": _words("""
        o a os as um uma uns umas e ou mas se que não de do da dos das em no na nos nas ao aos por pelo pela para com
        sem sobre entre até desde seu sua seus suas meu minha este esta isto esse essa isso são era eram ser estão foi
        tem há como mais muito também já eu ele ela eles elas
        """),
    "nl": _words("""
        de het een en of maar want dat dit deze die in op aan bij met van voor naar door over uit om te tot zonder
        onder ik je jij u hij zij ze wij we jullie hun haar zijn mijn is was waren wordt worden heeft hebben had kan
        niet geen ook nog al er als dan
        """),
    "tr": _words("""
        ve veya ya ile için bir bu şu o da de ki mi mu ne gibi kadar daha en çok ama fakat ancak değil olan olarak
        olduğu var yok ben sen biz siz onlar her şey sonra önce göre
        """),
    "id": _words("""
        yang dan atau di ke dari pada dengan untuk dalam oleh ini itu adalah ialah tidak bukan akan telah sudah juga
        karena sebagai kepada saya anda kami kita mereka ia dia ada dapat bisa
        """),
    "ru": _words("""
        и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее мне было вот от меня
        о из ему для при это этот эта эти был была были быть есть или если их мы они также до без над под между
        """),
    "fa": _words("""
        و در به از که این را با است برای آن یک خود تا کرد بر هم نیز شد شده می های ها یا اما باید پس اگر همه بود دارد
        من تو او ما شما آنها وی بی هر بین
        """),
    "ur": _words("""
        کے کا میں ہے ہیں اور سے کو نے پر یہ وہ کہ اس ان تھا تھی ہو گا گی بھی تو نہیں کر ایک لئے جو یا ہم آپ
        """),
}

QUESTION_WORDS: Final[dict[str, frozenset[str]]] = {
    "ar": _words("""
        ما ماذا لماذا لم من منو لمن ممن متى أين كيف كيفية كم بكم أي أية هل ماهو ماهي ماهية أيهما أيهم عم مم فيم فيما
        بماذا عماذا كماذا ازاي ازى ليه ليش امتى امتا فين منين مين قد اد أديه كام بكام إنهي انهو شو ايش ايشو وش وشو ويش
        شنو شنهو شنهي شنوا كيفاش كيفاه كيفك كفاش علاش علاه وين وينه وينها فاش شحال قداش قديش أديش قداه إيمتى وقتاش واش
        أش أشنو شلون شلونك اشلون شكون مينو اشرح اشرحلي وضح وضحلي بين اذكر عرف عرفني قارن لخص اعطني اعطيني عطني عطيني
        اديني قل قلي قول قولي قوللي احكي احكيلي احك خبرني أخبرني حدثني ساعدني دلني أريد نريد أرغب عايز عاوز عايزة
        عاوزة ابغى ابغا ابي بغيت بدي حابب حاب حابة أحب أود محتاج أعرف نعرف معرفة أفهم أسأل سؤال سؤالي فضلك لطفا لو
        سمحت تسمح رجاء ممكن تقدر أقدر يعني المقصود مقصود المراد يقصد نقصد معنى معنا تعني
        """),
    "en": _words("""
        what what's whats which who who's whos whom whose when when's where where's wheres why why's how how's hows
        whether explain describe define tell give show list name mention state discuss compare summarise summarize
        outline mean means meaning meant know want need like please kindly help let let's lets wanna gonna ask asking
        question wondering wonder called say said
        """),
    "fr": _words("""
        quel quelle quels quelles qui que quoi qu'est-ce est-ce quand où comment pourquoi combien lequel laquelle dont
        expliquer expliquez définir donner donnez veux voudrais savoir signifie
        """),
    "de": _words("""
        was wer wen wem wessen welche welcher welches welchen wann wo woher wohin wie warum wieso weshalb wieviel
        erkläre erklären nenne beschreibe bedeutet bitte wissen möchte
        """),
    "es": _words("""
        qué quién quiénes cuál cuáles cuándo dónde cómo cuánto cuánta cuántos cuántas porqué explica explicar define
        dime quiero saber significa favor
        """),
    "it": _words("che cosa cos chi quale quali quando dove come perché quanto quanta quanti quante spiega significa"),
    "pt": _words("""
        que quem qual quais quando onde como porque quanto quanta quantos quantas explique defina significa
        """),
    "nl": _words("wat wie welke welk wanneer waar hoe waarom hoeveel leg uit betekent"),
    "tr": _words("ne neden niçin nasıl kim kime kimin hangi hangisi nerede nereden nereye kaç nedir kimdir açıkla"),
    "id": _words("apa siapa mana kapan dimana bagaimana mengapa kenapa berapa jelaskan apakah"),
    "ru": _words("""
        что кто какой какая какое какие каков когда где куда откуда как почему зачем сколько чей который которая ли
        объясни расскажи значит
        """),
    "fa": _words("چه چی چیست کیست چیزی که کی کجا کدام چطور چگونه چرا چند چقدر آیا توضیح بده یعنی"),
    "ur": _words("کیا کون کب کہاں کیسے کیوں کتنا کتنی کونسا کونسی"),
}
