"""The plots of the story grammar, and the words they draw on.

A plot is a pair (choices, text). ``choices`` maps slot names, comma-separated where several are drawn together, to
their values, separated by ``/`` likewise. In ``text``, ``{a|b}`` is one of its alternatives (they nest; an empty one
leaves the sentence out), ``<slot>`` is what was drawn for this story, ``<Slot>`` the same with a capital.
"""

from __future__ import annotations

from typing import Final

Choices = dict[str, list[str]]

GIRLS: Final = ["Lily", "Mia", "Anna", "Sue", "Amy"]
BOYS: Final = ["Tom", "Ben", "Sam", "Max", "Tim"]
ANIMALS: Final = ["cat", "dog", "bear", "rabbit", "mouse", "fox", "duck", "frog"]

COMMON: Final[Choices] = {
    "mood": ["little", "small", "kind", "happy", "brave", "funny"],
    "colour": ["red", "blue", "green", "yellow", "pink", "orange"],
    "toy": ["ball", "car", "doll", "boat", "hat", "train", "drum", "book"],
    "food": ["apple", "cake", "cookie", "pie", "banana", "sandwich"],
    "parent": ["mom", "dad", "grandma", "grandpa"],
    "place": ["park", "garden", "zoo", "farm", "yard"],
    "weather": ["sunny", "warm", "bright", "windy", "cold"],
}

OPENING: Final = (
    "{Once upon a time, there was a <mood> <kind> named <name>.|There was once a <mood> <kind> named <name>."
    "|Once there was a <mood> <kind>. <His> name was <name>.|<Name> was a <mood> <kind>.}"
)
CLOSING: Final = "{||It was a good day.|<Name> was very happy.|And they lived happily ever after.|The end.}"

PLOTS: Final[list[tuple[Choices, str]]] = [
    (
        {"spot": ["under the bed", "behind a tree", "in a big box", "under a chair", "behind the door"]},
        "<Name> had a <colour> <toy>. {|<He> loved <his> <colour> <toy> very much.|<He> played with it every day.} "
        "One day, the <toy> was gone. <Name> {looked and looked|looked everywhere}, but <he> could not find it. "
        '{|<He> felt sad.|<He> began to cry.} <His> friend <friend> came to help. {"Do not be sad," said <friend>. '
        '"We will find it."|"What is wrong?" asked <friend>. "I lost my <toy>," said <name>.} {They looked in the '
        'house. They looked in the garden.|They looked high and low.} Then <friend> looked <spot>. "{Here it is|I '
        'see it}!" {said|shouted} <friend>. The <colour> <toy> was <spot>! "Thank you, <friend>," said <name>. '
        "{|They played with the <toy> all day.|<Name> let <friend> play with it, too.}",
    ),
    (
        {},
        "One <weather> day, <name> went to the <place> with a big <food>. {|<He> wanted to eat it all.|<He> was "
        'very hungry.} At the <place>, <he> saw <friend>. <Friend> looked {sad|tired}. "{Why are you sad|What is '
        'wrong}?" asked <name>. "I am hungry," said <friend>. "I have no food." <Name> looked at <his> <food>. {|It '
        'was a very good <food>.|<He> thought for a while.} Then <he> {had an idea|smiled}. "We can share," <he> '
        'said. <He> gave half of the <food> to <friend>. {"Thank you! You are very kind," said <friend>.|<Friend> '
        "took a big bite and smiled.} {|<Name> learned that it is good to share.|The <food> was even better when "
        "they shared it.}",
    ),
    (
        {"sound": ["boom", "bang", "crash"]},
        "One night, there was a big storm. {|The wind blew and the rain fell.|It was dark and the rain was loud.} "
        "<Sound>! went the thunder. <Name> was {scared|very scared}. {|<He> hid under <his> bed.|<He> hid in <his> "
        'bed.} "{Help|I am scared}!" <he> {cried|said}. <His> <parent> {came into the room|heard <him> and came}. '
        '"{Do not be scared|It is okay}," said <his> <parent>. "It is only the rain. The rain helps the flowers '
        'grow." {|<His> <parent> gave <him> a hug.|They looked at the rain and told stories.} Soon, the storm went '
        "away. {|The moon came out.|The stars came out.} <Name> was not scared any more. {<He> closed <his> eyes "
        "and went to sleep.|<He> slept all night.} In the morning, the sun was bright and the flowers were "
        "{big|tall} and {pretty|<colour>}.",
    ),
    (
        {},
        "One {<weather> |}day, <name> {walked in|went to} the <place>. <He> {saw|found} a {small|little} <colour> "
        'bird on the ground. "{I can not fly|Please help me}," said the bird. "My wing hurts." {<Name> was sad for '
        "the bird.|<Name> wanted to help.} <He> took the <colour> bird home. <His> <parent> {gave it water|made a "
        "soft bed for it}. {|Every day, <name> gave the bird food.|<Name> sat by the bird and sang to it.} After {a "
        'week|many days}, the bird {felt better|was strong}. "{Now I can fly|Thank you}!" {said|sang} the <colour> '
        "bird. It flew {up to the sky|high up into a tree}. <Name> {waved and smiled|was happy and a little sad}. "
        "{|Every day, the bird came back to sing for <name>.|The bird came back every day, and they were friends.}",
    ),
    (
        {"plant,gift": ["flower/smell", "tree/shade", "bean/food", "rose/smell"]},
        "One day, <name> found a {small|tiny} seed. {|It was brown and round.|<He> did not know what it was.} "
        '"{What is this|What can I do with it}?" <he> asked <his> <parent>. "{Put it in the ground|Plant it}," said '
        '<his> <parent>. "{Give it water|You must give it water} every day." <Name> put the seed in the ground{ in '
        "the garden|}. {|Every day, <he> gave it water.|<He> gave it water and sang to it.} {|At first, nothing "
        "happened.|<He> had to wait for a long time.} Then one <weather> morning, <he> saw a little green leaf! The "
        'leaf grew and grew. {Soon|At last}, it was a {tall|big} <colour> <plant>. "{Look|Look at my <plant>}!" '
        '{said|shouted} <name>. {<His> <parent> was very proud.|"You did well," said <his> <parent>.} {|<Name> '
        "learned that good things take time.|<Name> was glad that <he> planted it.}",
    ),
    (
        {"skill,at,how": ["swim/lake/splash", "ride a bike/park/bump", "jump far/hill/bump", "climb/big tree/bump"]},
        "<Name> wanted to learn to <skill>. {<His> friend <friend> could <skill> very well.|<He> saw <his> friend "
        "<friend> do it.} So they went to the <at>. <Name> tried, but {<how>! <He> fell.|<he> could not do it. "
        '<How>!} "{I can not do it|It is too hard}," said <name>. "{Try again|Do not stop}," said <friend>. "{I '
        'will help you|I fell many times, too}." <Name> tried again{ and again|}. {|<He> fell, but <he> got up.|It '
        'was hard, but <friend> held <his> hand.} At last, <name> could <skill>! "{I did it|Look at me}!" <he> '
        "shouted. {|<Friend> was proud of <him>.|<Friend> clapped and laughed.} {|<Name> learned to try and try "
        "again.|Now they go to the <at> every day.}",
    ),
    (
        {"thing": ["cup", "lamp", "plate", "vase"]},
        'One day, <name> played with <his> <colour> <toy> in the house. "Do not play in the house," said <his> '
        "<parent>. But <name> did not listen. {Oh no|Crash}! The <toy> hit a <thing>. The <thing> broke. <Name> was "
        '{scared|sad}. <His> <parent> came into the room. "{What happened|Who broke the <thing>}?" asked <his> '
        "<parent>. {|<Name> wanted to say that the dog did it.|<Name> looked at the ground.} But <he> told the "
        'truth. "I broke the <thing>," <he> said. "I am {very |so |}sorry." <His> <parent> {hugged <him>|smiled}. '
        '"Thank you for the truth," said <his> <parent>. {|They cleaned the room together.|They fixed the <thing> '
        "together.} {|<Name> learned to tell the truth.|After that, <name> played with the <toy> in the garden.}",
    ),
    (
        {"game": ["hide and seek", "tag", "catch"]},
        "<Name> {was new in town and had no friends|did not have a friend to play with}. {|<He> felt sad.|<He> sat "
        "at home every day.} One <weather> day, <he> went to the <place>. There <he> saw a <fkind> with a <colour> "
        '<toy>. "{Hello|Hi}, I am <name>," <he> said. {|<His> voice was very small.|<He> was a little scared.} '
        '"{Hello|Hi}, I am <friend>," said the <fkind>. "Do you want to play {with me|<game>}?" "Yes, {please|I '
        'do}!" said <name>. They played {<game>|with the <colour> <toy>} {all day|until it was dark}. {|Then they '
        'shared a <food>.|They ran and jumped and laughed.} "{Can we play again|Will you come back}?" asked '
        '<friend>. "Yes, {every day|I will come back}!" said <name>. {|<Name> was not sad any more.|Now <name> had '
        "a friend.}",
    ),
    (
        {},
        "It was <name>'s birthday. {|<He> was very happy.|<He> woke up with a big smile.} <His> <parent> made a big "
        "cake. {|The cake was <colour> and sweet.|It had <colour> flowers on it.} <His> friend <friend> came to the "
        'house with a {big|small} box. "{Happy birthday|This is for you}, <name>!" said <friend>. "{Open it|Look in '
        'the box}!" <Name> opened the box. In the box, there was a <colour> <toy>! {|<Name> jumped up and '
        'down.|<Name> could not stop smiling.} "{Thank you, <friend>|I love it}!" said <name>. "{It is just what I '
        'wanted|It is the best <toy>}." {|They ate the cake and played with the <toy>.|They sang a song and ate the '
        "cake.} {|At night, <name> slept with the <colour> <toy> by <his> bed.|<Name> gave <friend> a big hug.}",
    ),
    (
        {},
        '<Name> loved to eat <food>s. One day, <his> <parent> put {ten|many} <food>s on the table. "{Eat only '
        'one|You may eat one}," said <his> <parent>. "The rest are for <friend>." But <name> was {greedy|very '
        'hungry}. <He> ate one. <He> ate two. {Then <he> ate them all!|Soon, all the <food>s were gone!} "Oh no," '
        'said <name>. "My tummy hurts." {|<He> had to go to bed.|<He> could not play.} {Then|Soon}, <friend> came. '
        'There was no <food> for <friend>. <Friend> was sad. "I am sorry," said <name>. {The next day|When <he> '
        "felt better}, <name> and <his> <parent> got new <food>s. <Name> gave {the first one|the best one} to "
        "<friend>. {|<Name> learned not to be greedy.|<Friend> was happy again.}",
    ),
    (
        {"tall": ["tall", "big", "high"]},
        "<Name> had a <colour> kite. One windy day, <he> took the kite to the <place>. {|The kite flew high in the "
        "sky.|Up, up, up it went.} Then the wind blew {hard|very hard}, and the kite got stuck in a <tall> tree. "
        '<Name> {jumped|tried to climb}, but the tree was too <tall>. A {bird|monkey} saw <him>. "{Why do you '
        'cry|What is wrong}?" it asked. "My <colour> kite is stuck in the tree," said <name>. "{I can help|Let me '
        'help you}," it said. It went up the tree and {pulled|pushed}. Down came the <colour> kite! "{Thank you|You '
        'are so kind}!" said <name>. {|<He> gave it a <food>.|<He> gave it half of <his> <food>.} {|They flew the '
        "kite together.}",
    ),
    (
        {"build,with,from": ["castle/sand/at the beach", "tower/blocks/in the room", "house/wood/in the garden"]},
        "One <weather> day, <name> and <his> friend <friend> were <from>. They wanted to make a big <build> with "
        "<with>. {|<Name> worked hard.|They worked all morning.} The <build> grew {taller and taller|bigger and "
        "bigger}. Then <friend> {fell|ran too fast} and hit the <build>. Crash! {The <build> fell down.|The <build> "
        'was gone.} <Name> was {mad|angry}. "You broke my <build>!" <he> {said|shouted}. "I am sorry," said '
        '<friend>. <Name> saw that <friend> was sad. {|<He> took a deep breath.|<He> thought for a while.} "{It is '
        'okay|Do not be sad}," <he> said. "We can make a new <build>." {|So they worked together.|They got more '
        "<with> and worked together.} The new <build> was {even better|bigger than the first one}.{| They were very "
        "proud.}",
    ),
    (
        {"nose": ["carrot", "stick", "stone"]},
        'One cold morning, <name> looked out of the window. {Snow|White snow} was everywhere! "{Can I go out|May I '
        'play in the snow}?" <he> asked. "Yes," said <his> <parent>. "Put on your <colour> hat." <Name> put on '
        '<his> <colour> hat and ran out. <Friend> was there, too. "{Let us make a snowman|We can make a snowman}!" '
        "said <friend>. They made a {big|small} ball and put a {big|small} ball on top. <Friend> found a <nose> for "
        'the nose. <Name> gave the snowman <his> <colour> hat. "{He looks happy|He is our friend}," said <name>. '
        "{|Then they were cold and went home.|The snowman smiled at them.} <His> <parent> gave them {warm milk|warm "
        "soup} and a <food>.",
    ),
    (
        {"find,owner": ["ring/queen", "coin/old man", "key/farmer", "watch/old man", "bell/farmer"]},
        "One <weather> day, <name> {walked to|played in} the <place>. <He> saw something shiny {in the grass|on the "
        'ground}. It was a <find>! "{What a pretty <find>|I want to keep it}," said <name>. Then <he> saw the '
        '<owner>. The <owner> was {sad|very sad}. "I lost my <find>," said the <owner>. <Name> {thought for a '
        'while|wanted to keep the <find>}. "{Here is your <find>|I found it}," <he> said, and gave it back. The '
        '<owner> was so happy! "Thank you!" said the <owner>. The <owner> gave <name> a {<colour> <toy>|big '
        "<food>}. {|<Name> was glad that <he> did the right thing.|<Name> ran home to tell <his> <parent>.}",
    ),
    (
        {},
        '<Name> and <friend> were friends. One day, they saw a <colour> <toy> at the <place>. "{It is mine|I saw it '
        'first}!" said <name>. "No, it is mine!" said <friend>. {|They pulled and pulled.|They began to fight.} '
        'Rip! The <colour> <toy> broke. {Now nobody could play with it.|They were both sad.} "{Look what we did|It '
        'is broken}," said <name>. "I am sorry." "I am sorry, too," said <friend>. They took the <toy> to '
        "<name>'s <parent>. \"{Can you fix it|Can you help us}?\" they asked. <Name>'s <parent> fixed the <toy>{ "
        'and gave it back|}. "{You can take turns|Now take turns}," said <name>\'s <parent>. {|They did not fight '
        "any more.|It was more fun to take turns.}",
    ),
    (
        {"count": ["the stars", "the sheep", "to ten"]},
        "It was night, but <name> {could not sleep|did not want to sleep}. {|<He> wanted to play with <his> "
        '<colour> <toy>.|The moon was big and bright.} "{Go to sleep|It is time for bed}," said <his> <parent>. '
        '"But I am not tired," said <name>. "Then {I will tell you a story|let us look at the sky}," said <his> '
        "<parent>. {They sat by the window.|<Name> held <his> <colour> <toy>.} {|It was a story about a <fkind> "
        'named <friend> who lived in the <place>.|They saw the moon and many, many stars.} "Now close your eyes and '
        'count <count>," said <his> <parent>. <Name> closed <his> eyes. <He> began to count. One, two, three. '
        "{Soon|Before long}, <he> was {fast |}asleep. {|<He> had a dream about a <colour> <toy>.|<He> had a dream "
        'about the <place>.} "Good night, <name>," said <his> <parent>{ and gave <him> a kiss|}.',
    ),
    (
        {"guide,call": ["bird/tweet", "dog/woof", "cow/moo", "duck/quack", "sheep/baa"]},
        "One day, <name> {walked|ran} into the forest. {|<He> saw a <colour> flower. Then <he> saw more "
        "flowers.|<He> followed a <colour> butterfly.} <He> went far, far away. Soon, <name> was lost. {|It was "
        'getting dark.|The trees were tall and dark.} "{Where is my home|How can I get home}?" <he> cried. Then '
        '<he> heard something. "<Call>, <call>!" It was a {big|small} <guide>. "{Are you lost|Are you far from '
        'home}?" asked the <guide>. "Yes," said <name>. "I want to go home." "{Come with me|I know the way}," said '
        "the <guide>. They walked {over the hill|by the river|past the farm|past the old house}. At last, <name> "
        'saw <his> house! <His> <parent> {ran out and hugged <him>|was so happy to see <him>}. "Thank you, '
        '<guide>!" said <name>. {|After that, <name> did not go far away again.|<Name> gave the <guide> a <food>.}',
    ),
    (
        {"elder": ["grandma", "grandpa"], "picture": ["house", "flower", "sun", "horse", "fish"]},
        "<Name>'s <elder> was sick. {|<He> wanted to make <elder> happy.|<Name> was sad and wanted to help.} "
        '"{What can I do|How can I help}?" <name> asked <his> friend <friend>. "{Make a picture|You can make a '
        'picture}," said <friend>. So <name> took a big paper. <He> made a {big|pretty} <colour> <picture>. '
        '{|<Friend> helped <him>.|It took a long time.} Then they went to see <elder>. "{This is for you|Look what '
        'I made}," said <name>. <Elder> looked at the picture. "What a {pretty|lovely} <colour> <picture>!" said '
        '<elder>. "{I feel better now|You made me so happy}." {|<Elder> put the picture on the wall.|<Elder> gave '
        "<name> a big hug.} {|Soon, <elder> was well again.|The next day, <elder> was well again.} {|They all ate a "
        "<food> together.|<Name> was very proud.}",
    ),
    (
        {"water": ["lake", "river", "pond"], "helper": ["duck", "fish", "frog", "swan"]},
        "<Name> had a {little|small} <colour> boat. One <weather> day, <he> took it to the <water>. <He> put the "
        "boat on the water. {|It went round and round.|<Name> clapped <his> hands.} Then the wind blew. The "
        '<colour> boat went far away! "{Come back|Oh no, my boat}!" {shouted|cried} <name>. {|The water was too '
        'cold.|The water was too deep.} <He> sat down and {cried|was sad}. A <helper> came by. "{What is wrong|Why '
        'are you sad}?" asked the <helper>. "My boat is far away," said <name>. "{I can swim|I will get it}," said '
        'the <helper>. The <helper> {pushed|pulled} the <colour> boat back. "Thank you, <helper>!" said <name>. '
        "{|<He> let the <helper> ride in the boat.|<He> gave the <helper> some bread.} {|They played by the <water> "
        "all day.}",
    ),
    (
        {"kind,fkind": ["turtle/rabbit", "snail/fox", "turtle/horse", "snail/mouse"]},
        "{<Name> was very slow.|<Name> could not run.} {A <fkind> named <friend> lived in the <place>, too.|<His> "
        'friend <friend> was a <fkind>.} One <weather> day, <friend> said, "{I am the fastest|I am so fast}! Who '
        'wants to race?" "I do," said <name>. {|<Friend> laughed and laughed.|All the animals came to look.} One, '
        "two, three, go! <Friend> ran very fast. <Name> walked {slowly|step by step}. Soon, <friend> was far away. "
        '"{I have time|I am tired}," said <friend>. "I will {sleep|eat a <food>} now." But <name> did not stop. '
        "<He> walked and walked. {<He> walked past <friend>.|When <friend> looked up, it was too late.} <Name> was "
        'first! "{You won|You are the best}!" said the animals. "I was slow, but I did not stop," said <name>.',
    ),
    (
        {"dish": ["soup", "bread", "jam", "stew"], "extra": ["salt", "sugar", "milk", "honey"]},
        'One cold day, <name> wanted to make <dish> with <his> <parent>. "{Can I help|May I help you}?" asked '
        '<name>. "Yes," said <his> <parent>. "{We need|Please get} some <extra>." <Name> looked in the kitchen. '
        'There was no <extra>! <He> ran to the house of <friend>. "{Hello|Hi}, <friend>. Do you have some <extra>?" '
        '<he> asked. "Yes, here is some <extra>," said <friend>. <Name> {ran home|said thank you and ran home}. '
        "<He> put the <extra> in the pot. {|It smelled so good.|They waited for a while.} Soon, the <dish> was "
        'ready. "{We must give some to <friend>|Let us share it with <friend>}," said <name>. So <friend> came to '
        'eat. "{This is the best <dish>|Yum}," said <friend>.',
    ),
]
